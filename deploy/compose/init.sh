#!/bin/sh
# Makes what `docker compose up` needs: certificates, credentials, sealing keys, a password, and `.env`.
# usage: init.sh single|ha [OPTION…]     OPTIONs go to `agentsight certs init`, for example --renew.
# It may be called again: what is there stays. Environment: images
# and NODE_NAME, as in .env.
#   secrets/authority   everything, the keys of the authorities too: take it offline when all runs
#   secrets/ROLE        what the containers of that role see, as /etc/agentsight
set -eu
cd "$(dirname "$0")"
profile=${1:-}
case $profile in
single) buses="nats" ;;
ha) buses="nats-0 nats-1 nats-2" ;;
*) echo "usage: $0 single|ha [OPTION…]" >&2; exit 2 ;;
esac
shift
[ ! -f .env ] || . ./.env
version=${AGENTSIGHT_VERSION:-$(sed -nE 's/^version = "(.*)"/\1/p' ../../pyproject.toml)}
image=${CLI_IMAGE:-agentsight-cli:$version}
node=${NODE_NAME:-$(hostname)}

mkdir -p secrets
chmod 0711 secrets
set -- --node "$node" --name localhost "$@"
for bus in $buses; do set -- --server "nats://$bus:4222" "$@"; done
# The names of both profiles, so that one can be had after the other.
for name in nats nats-0 nats-1 nats-2 aggregator aggregator-0 aggregator-1 etcd-0 etcd-1 etcd-2; do set -- --name "$name" "$@"; done
# In a container, so that the host needs nothing, and so that paths are those that others will see.
docker run --rm --user 0 --network none --entrypoint sh \
    -v "$PWD/secrets:/secrets" -v "$PWD/secrets/authority:/etc/agentsight" -v "$PWD/nats:/nats:ro" \
    -e NODE="$node" -e PROFILE="$profile" "$image" -euc '
umask 077
agentsight certs init /etc/agentsight "$@" >/secrets/authority/CONTENTS
cd /etc/agentsight
give() { role=$1; shift; mkdir -p /secrets/$role; cp "$@" /secrets/$role/; }
give nats bus-clients.pem ca.pem server.pem server.key nats-users.conf nats-routes.conf
cp /nats/$PROFILE.conf /secrets/nats/nats.conf
give etcd ca.pem server.pem server.key
give aggregator ca.pem server.pem server.key aggregator.pem aggregator.key aggregator.nkey \
    aggregator.yaml frames.private group.key
give agent ca.pem frames.public node-$NODE.pem node-$NODE.key node-$NODE.nkey
cp node-$NODE.yaml /secrets/agent/agent.yaml
give operator ca.pem operator.pem operator.key operator.nkey operator.yaml frames.private frames.public group.key
mkdir -p /secrets/grafana
[ -s /secrets/grafana/admin-password ] ||
    python3 -c "import secrets; print(secrets.token_urlsafe(18), end=\"\")" >/secrets/grafana/admin-password
# The user of our images, and that of Grafana.
for role in nats etcd aggregator operator; do chown -R 65532:65532 /secrets/$role; done
chown -R 472:0 /secrets/grafana
' init "$@"

engine=$(docker version --format '{{.Server.Version}}')
capabilities=capabilities.yaml
[ "${engine%%.*}" -ge 23 ] || capabilities=capabilities.old-engine.yaml
[ -f .env ] || cat >.env <<END
# Read by docker compose. Ports, images of others, retention: see compose.yaml.
COMPOSE_PROFILES=$profile
COMPOSE_FILE=compose.yaml:$capabilities
NODE_NAME=$node
AGENT_IMAGE=${AGENT_IMAGE:-agentsight-agent:$version}
AGGREGATOR_IMAGE=${AGGREGATOR_IMAGE:-agentsight-aggregator:$version}
CLI_IMAGE=$image
NATS_IMAGE=${NATS_IMAGE:-agentsight-nats:$version}
ETCD_IMAGE=${ETCD_IMAGE:-agentsight-etcd:$version}
END
grep -q "^COMPOSE_PROFILES=$profile\$" .env ||
    { echo ".env names another profile than $profile: change it, or remove it" >&2; exit 1; }
echo "ready: docker compose up -d"
echo "Grafana: http://127.0.0.1:3000, user admin, password in $PWD/secrets/grafana/admin-password"
