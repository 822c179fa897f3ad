"""The one look at a command line that nearly always does misses nothing that the others find."""

from agentsight_agent.redact import CaptureMode, Redactor
from agentsight_agent.redact.arguments import redact_arguments
from agentsight_agent.redact.headers import _CREDENTIALS
from hypothesis import given, settings
from hypothesis import strategies as st

KEY = b"k" * 32
VALUES = st.text('aB3:=/_- \n"', max_size=12)
NAMES = st.sampled_from(
    [
        *sorted(_CREDENTIALS),
        "x-vendor-token",
        "my-credentials",
        "x-signature",
        "content-type",
        "--api-key",
        "--openai_api_key",
        "-pass",
        "--db-pwd",
        "--passphrase",
        "--client-secret",
        "--token",
        "-u",
        "-U",
        "--user",
        "--proxy-user",
        "--output",
        "DB_PASSWORD",
        "sk-ant-",
        "sk_live_",
        "eyJhbGciOi.",
        "http://me:",
    ]
)
ARGUMENTS = st.one_of(
    VALUES,
    NAMES,
    NAMES.map(str.upper),
    st.builds(
        lambda name, between, value: name + between + value,
        NAMES,
        st.sampled_from([": ", "=", ":", ""]),
        VALUES,
    ),
    st.text("aB3", min_size=40, max_size=50).map(lambda text: f"Bearer {text}"),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(ARGUMENTS, max_size=5))
def test_a_quick_look_and_a_close_one_agree(argv: list[str]) -> None:
    redactor = Redactor(CaptureMode.REDACTED, KEY)
    closely = redact_arguments(argv, redactor._secret, redactor._text)
    assert redactor.argv(argv) == closely
