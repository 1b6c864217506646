"""Hill climbing as a service of its own. It knows proto/api.proto and nothing else of Katib; in any other language it
is the same three methods.

It keeps nothing: the manager sends the study with all its trials in each request, and any replica gives the same answer.
"""

import math
import random
import signal
from concurrent.futures import ThreadPoolExecutor

import api_pb2 as pb
import api_pb2_grpc
import grpc

START = 5  # trials anywhere, before the climb begins
STRIDE = 0.1  # of a parameter's range, at first


class HillClimb(api_pb2_grpc.SuggestionServicer):
    """A trial is the best one so far, moved a little."""

    def SetSuggestionParameters(self, request, context):
        """Refuses what it cannot do: the study is not created then, and its owner reads why."""
        for i, parameter in enumerate(request.configs.parameter_configs.configs):
            if parameter.parameter_type != pb.DOUBLE or parameter.feasible.scale == pb.LOG or parameter.feasible.step:
                where = f"study_config.parameter_configs.configs[{i}]"
                text = f"{where}: {parameter.name}: expected a double without scale and step: hillclimb knows no other"
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
        # It needs to see what became of the trials.
        return pb.SetSuggestionParametersReply(history=pb.HISTORY_FINALS)

    def GenerateTrials(self, request, context):
        """As many as there is room for."""
        settings = {setting.name: int(setting.value) for setting in request.configs.suggestion_parameters}
        finished, running = len(request.completed_trials), len(request.running_trials)
        wanted = settings.get("SuggestionNum", finished + running + 1)
        if finished >= wanted:
            return pb.GenerateTrialsReply(completed=True)
        room = min(settings.get("MaxParallel", 1) - running, wanted - finished - running)
        first = finished + running + 1
        return pb.GenerateTrialsReply(trials=[trial(request, number) for number in range(first, first + room)])

    def StopSuggestion(self, request, context):
        """There is nothing to forget."""
        return pb.StopSuggestionReply()


def trial(request, number):
    """Trial `number` of the study: the same whenever it is asked for with the same history."""
    chance = random.Random(f"{request.study_id}/{number}")
    origin = best(request) if number > START else None
    parameters = []
    for config in request.configs.parameter_configs.configs:
        low, high = float(config.feasible.min), float(config.feasible.max)
        if origin is None:
            value = chance.uniform(low, high)
        else:
            stride = STRIDE * (high - low) / math.sqrt(number - START)
            value = min(max(chance.gauss(origin[config.name], stride), low), high)
        parameters.append(pb.Parameter(name=config.name, parameter_type=config.parameter_type, value=repr(value)))
    return pb.Trial(parameter_set=parameters)


def best(request):
    """The values of the best trial that has an objective; None: there is none yet."""
    sign = -1 if request.configs.optimization_type == pb.MINIMIZE else 1
    heights = [(sign * float(t.objective_value or "nan"), t) for t in request.completed_trials]
    known = [(height, t) for height, t in heights if not math.isnan(height)]
    if not known:
        return None
    _, found = max(known, key=lambda pair: pair[0])
    return {parameter.name: float(parameter.value) for parameter in found.parameter_set}


def main():
    """Serves until it is told to end."""
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", 64 << 20)])
    api_pb2_grpc.add_SuggestionServicer_to_server(HillClimb(), server)
    server.add_insecure_port("[::]:6789")
    signal.signal(signal.SIGTERM, lambda *_: server.stop(10))
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
