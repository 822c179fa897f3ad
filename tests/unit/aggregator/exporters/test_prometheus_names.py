import pytest
from agentsight_aggregator.exporters.prometheus import (
    PartitionCollector,
    family_name,
    label_name,
)
from agentsight_aggregator.samples import Counter, Histogram, Labels, Sample
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families


@pytest.mark.parametrize(
    ("name", "unit", "expected"),
    [
        ("gen_ai.client.inference.duration", "s", "gen_ai_client_inference_duration_seconds"),
        ("gen_ai.usage.input_tokens", "{token}", "gen_ai_usage_input_tokens"),
        ("agentsight.file.written", "By", "agentsight_file_written_bytes"),
        ("agentsight.file.written_bytes", "By", "agentsight_file_written_bytes"),
        ("agentsight.rate", "By/s", "agentsight_rate_bytes_per_second"),
        ("agentsight.rate", "{call}/s", "agentsight_rate_per_second"),
        ("agentsight.cost", "{USD}", "agentsight_cost"),
        ("agentsight.cost", "USD", "agentsight_cost_USD"),
        ("agentsight.ratio", "1", "agentsight_ratio"),
        ("9lives..of(a)", "", "_9lives_of_a_"),
    ],
)
def test_names_follow_the_compatibility_specification(name: str, unit: str, expected: str) -> None:
    assert family_name(name, unit) == expected


def test_label_names_lose_their_dots() -> None:
    assert label_name("gen_ai.request.model") == "gen_ai_request_model"


def calls(value: float, labels: Labels = ()) -> Counter:
    return Counter(
        name="agentsight.llm.calls", unit="{call}", description="Calls.", labels=labels, value=value
    )


DURATION = Histogram(
    name="gen_ai.client.inference.duration",
    unit="s",
    description="How long a call took.",
    labels=(("gen_ai.request.model", 'sm"all\n'),),
    bounds=(0.5, 1.0),
    counts=(2, 0, 3),
    sum=12.5,
)


def exposed(owned: dict[int, list[Sample]]) -> tuple[CollectorRegistry, PartitionCollector]:
    collector = PartitionCollector(
        lambda: [(partition, sample) for partition, rows in owned.items() for sample in rows]
    )
    registry = CollectorRegistry()
    registry.register(collector)
    return registry, collector


def test_counters_and_histograms_are_exposed_with_their_partition() -> None:
    rows: list[Sample] = [calls(2), calls(1, (("error.type", "429"),)), DURATION]
    registry, _ = exposed({3: rows, 4: [calls(5)]})

    lines = generate_latest(registry).decode().splitlines()

    assert lines == [
        "# HELP agentsight_llm_calls_total Calls.",
        "# TYPE agentsight_llm_calls_total counter",
        'agentsight_llm_calls_total{error_type="",partition="3"} 2.0',
        'agentsight_llm_calls_total{error_type="429",partition="3"} 1.0',
        'agentsight_llm_calls_total{error_type="",partition="4"} 5.0',
        "# HELP gen_ai_client_inference_duration_seconds How long a call took.",
        "# TYPE gen_ai_client_inference_duration_seconds histogram",
        *(
            f"gen_ai_client_inference_duration_seconds_{series}"
            for series in (
                'bucket{gen_ai_request_model="sm\\"all\\n",le="0.5",partition="3"} 2.0',
                'bucket{gen_ai_request_model="sm\\"all\\n",le="1.0",partition="3"} 2.0',
                'bucket{gen_ai_request_model="sm\\"all\\n",le="+Inf",partition="3"} 5.0',
                'count{gen_ai_request_model="sm\\"all\\n",partition="3"} 5.0',
                'sum{gen_ai_request_model="sm\\"all\\n",partition="3"} 12.5',
            )
        ),
    ]


def test_the_openmetrics_form_is_valid_and_says_the_unit() -> None:
    registry, _ = exposed({0: [calls(2), DURATION]})

    families = {
        family.name: family
        for family in text_string_to_metric_families(generate_openmetrics(registry).decode())
    }

    assert set(families) == {"agentsight_llm_calls", "gen_ai_client_inference_duration_seconds"}
    assert families["gen_ai_client_inference_duration_seconds"].unit == "seconds"


def test_a_partition_that_is_not_owned_any_more_is_not_served() -> None:
    owned: dict[int, list[Sample]] = {3: [calls(2)], 4: [calls(5)]}
    registry, _ = exposed(owned)
    assert b'partition="3"' in generate_latest(registry)

    del owned[3]

    assert b'partition="3"' not in generate_latest(registry)
    assert b'partition="4"' in generate_latest(registry)


def test_values_whose_keys_collide_are_joined_in_the_order_of_the_keys() -> None:
    registry, _ = exposed({0: [calls(1, (("a.b", "second"), ("a-b", "first")))]})

    assert b'{a_b="first;second",partition="0"}' in generate_latest(registry)


def test_one_name_for_two_types_is_refused() -> None:
    clash = Counter(
        name="gen_ai.client.inference.duration", unit="s", description="", labels=(), value=1
    )
    _, collector = exposed({0: [clash, DURATION]})

    with pytest.raises(ValueError, match="both a counter and a histogram"):
        list(collector.collect())
