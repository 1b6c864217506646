"""The wire: whoever spoke Katib 0.1 still understands us, and the committed code is what the proto says."""

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

ROOT = Path(__file__).resolve().parents[1]
API = ROOT / "katib" / "api"
# What Katib 0.1 (May 2018) has on the wire. It is history: this file does not change.
CONTRACT: dict[str, Any] = json.loads((Path(__file__).parent / "wire" / "contract_0_1.json").read_text())


def contract_facts(contract: dict[str, Any]) -> set[str]:
    """The contract as one line for each service method, enum value, message and field."""
    facts = {f"package {contract['package']}"}
    for service, methods in contract["services"].items():
        facts |= {f"{service}.{method}({request}) returns ({reply})" for method, (request, reply) in methods.items()}
    for enum, values in contract["enums"].items():
        facts |= {f"{enum}: {name} = {number}" for name, number in values.items()}
    for message, fields in contract["messages"].items():
        facts.add(f"message {message}")
        facts |= {f"{message}: {type_} {name} = {number}" for name, (number, type_) in fields.items()}
    return facts


def proto_facts(file: FileDescriptorProto) -> set[str]:
    """The same of a compiled proto."""

    def word(type_name: str) -> str:
        return type_name.removeprefix(f".{file.package}.")

    def field_type(field: FieldDescriptorProto) -> str:
        name = word(field.type_name) or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
        return f"repeated {name}" if field.label == FieldDescriptorProto.LABEL_REPEATED else name

    def messages(found: list[DescriptorProto], outer: str = "") -> Iterator[tuple[str, DescriptorProto]]:
        for message in found:
            yield f"{outer}{message.name}", message
            yield from messages(list(message.nested_type), f"{outer}{message.name}.")

    def stream(on: bool, type_name: str) -> str:
        return f"stream {word(type_name)}" if on else word(type_name)

    facts = {f"package {file.package}"}
    for service in file.service:
        facts |= {
            f"{service.name}.{m.name}({stream(m.client_streaming, m.input_type)})"
            f" returns ({stream(m.server_streaming, m.output_type)})"
            for m in service.method
        }
    for enum in file.enum_type:
        facts |= {f"{enum.name}: {value.name} = {value.number}" for value in enum.value}
    for name, message in messages(list(file.message_type)):
        facts.add(f"message {name}")
        facts |= {f"{name}: {field_type(f)} {f.name} = {f.number}" for f in message.field}
    return facts


def protoc(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *arguments], cwd=ROOT, check=True, timeout=60)


@pytest.fixture(scope="module")
def proto(tmp_path_factory: pytest.TempPathFactory) -> FileDescriptorProto:
    out = tmp_path_factory.mktemp("wire") / "api.ds"
    protoc("-Ikatib/api=proto", f"--descriptor_set_out={out}", "proto/api.proto")
    (file,) = FileDescriptorSet.FromString(out.read_bytes()).file
    return file


class TestContract:
    def test_everything_that_katib_0_1_had_is_there_under_its_name_number_and_type(
        self, proto: FileDescriptorProto
    ) -> None:
        assert proto.syntax == "proto3"
        assert sorted(contract_facts(CONTRACT) - proto_facts(proto)) == []

    def test_the_contract_is_whole(self) -> None:
        facts = contract_facts(CONTRACT)
        assert "Manager.CreateStudy(CreateStudyRequest) returns (CreateStudyReply)" in facts
        assert "TrialState: ERROR = 120" in facts
        assert "StudyConfig: StudyConfig.ParameterConfigs parameter_configs = 5" in facts
        assert "ShouldTrialStopReply: repeated Trial trials = 1" in facts
        assert len(facts) == 200  # 19 methods, 13 enum values, 54 messages with their 113 fields, the package

    def test_any_change_of_what_was_there_is_found(self, proto: FileDescriptorProto) -> None:
        wanted = contract_facts(CONTRACT)

        def found(change: Any) -> set[str]:
            changed = copy.deepcopy(proto)
            change(changed)
            return wanted - proto_facts(changed)

        def message(file: FileDescriptorProto, name: str) -> DescriptorProto:
            return next(m for m in file.message_type if m.name == name)

        def rename(file: FileDescriptorProto) -> None:
            message(file, "Trial").field[0].name = "id"

        def renumber(file: FileDescriptorProto) -> None:
            message(file, "FeasibleSpace").field[0].number = 9

        def retype(file: FileDescriptorProto) -> None:
            message(file, "Metrics").field[1].type = FieldDescriptorProto.TYPE_DOUBLE

        def relabel(file: FileDescriptorProto) -> None:
            message(file, "StudyConfig").field[5].label = FieldDescriptorProto.LABEL_OPTIONAL

        def drop_nested(file: FileDescriptorProto) -> None:
            del message(file, "StudyConfig").nested_type[0].field[:]

        def drop_empty_message(file: FileDescriptorProto) -> None:
            file.message_type.remove(message(file, "StopStudyReply"))

        def restate(file: FileDescriptorProto) -> None:
            next(e for e in file.enum_type if e.name == "TrialState").value[4].number = 4

        def drop_method(file: FileDescriptorProto) -> None:
            del file.service[0].method[0]

        def stream(file: FileDescriptorProto) -> None:
            file.service[1].method[0].server_streaming = True

        def rename_package(file: FileDescriptorProto) -> None:
            file.package = "katib"

        assert found(rename) == {"Trial: string trial_id = 1"}
        assert found(renumber) == {"FeasibleSpace: string max = 1"}
        assert found(retype) == {"Metrics: string value = 2"}
        assert found(relabel) == {"StudyConfig: repeated string access_permissions = 6"}
        assert found(drop_nested) == {"StudyConfig.ParameterConfigs: repeated ParameterConfig configs = 1"}
        assert found(drop_empty_message) == {"message StopStudyReply"}
        assert found(restate) == {"TrialState: ERROR = 120"}
        assert found(drop_method) == {"Manager.CreateStudy(CreateStudyRequest) returns (CreateStudyReply)"}
        assert found(stream) == {"Suggestion.GenerateTrials(GenerateTrialsRequest) returns (GenerateTrialsReply)"}
        assert "package api" in found(rename_package)

    def test_limits_tell_an_absent_value_from_zero(self, proto: FileDescriptorProto) -> None:
        config = next(m for m in proto.message_type if m.name == "StudyConfig")
        scalar = [f for f in config.field if f.type != FieldDescriptorProto.TYPE_MESSAGE]
        limits = {f.name for f in scalar if f.proto3_optional}
        assert limits == {"optimization_goal", "max_trials", "max_parallel", "max_failed_trials", "retry_limit"}


class TestGeneratedCode:
    def test_it_is_what_the_proto_generates(self, tmp_path: Path) -> None:
        outputs = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
        protoc("-Ikatib/api=proto", *outputs, "proto/api.proto")
        fresh = {path.name: path.read_text() for path in (tmp_path / "katib" / "api").iterdir()}
        committed = {path.name: path.read_text() for path in API.glob("*_pb2*.py*")}
        assert sorted(committed) == sorted(fresh)
        assert [name for name in fresh if committed[name] != fresh[name]] == [], "run `make proto` and commit"

    def test_the_lower_bounds_are_what_the_generated_code_accepts(self) -> None:
        """Older ones would be installed, and then refuse to be imported."""
        from katib.api import api_pb2_grpc

        project = (ROOT / "pyproject.toml").read_text()
        grpcio = api_pb2_grpc.GRPC_GENERATED_VERSION
        protobuf = next(
            line.removeprefix("# Protobuf Python Version: ")
            for line in (API / "api_pb2.py").read_text().splitlines()
            if line.startswith("# Protobuf Python Version: ")
        )
        assert f'"grpcio>={grpcio},<' in project
        assert f'"protobuf>={protobuf},<' in project
        assert f'"grpcio-tools=={grpcio}"' in project

    def test_its_modules_have_one_path_in_a_process(self) -> None:
        """The same messages under two paths would clash in protobuf's pool at import."""
        from katib.api import api_pb2

        assert api_pb2.DESCRIPTOR.name == "katib/api/api.proto"
        assert api_pb2.DESCRIPTOR.package == "api"
