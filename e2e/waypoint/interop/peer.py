"""Both ends of gRPC's interoperability tests on grpcio: `peer.py server ip port` or `peer.py client ip:port case...`, as server.ts and client.ts are."""
import json
import os
import sys
import tempfile
import time
from concurrent import futures

import grpc
from grpc_tools import protoc

here = os.path.dirname(os.path.abspath(__file__))
out = tempfile.mkdtemp()
protoc.main(["protoc", f"-I{here}", f"--python_out={out}", f"--grpc_python_out={out}", f"{here}/interop.proto"])
sys.path.insert(0, out)
import interop_pb2 as pb  # noqa: E402
import interop_pb2_grpc as pb_grpc  # noqa: E402

INITIAL = "x-grpc-test-echo-initial"
TRAILING = "x-grpc-test-echo-trailing-bin"
LARGE = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]


def zeros(size):
    return pb.Payload(body=b"\0" * size)


class Service(pb_grpc.TestServiceServicer):
    def _echo(self, context):
        for key, value in context.invocation_metadata():
            if key == INITIAL:
                context.send_initial_metadata(((key, value),))
            elif key == TRAILING:
                context.set_trailing_metadata(((key, value),))

    def _status(self, request, context):
        if request.HasField("response_status") and request.response_status.code != 0:
            context.set_code(next(c for c in grpc.StatusCode if c.value[0] == request.response_status.code))
            context.set_details(request.response_status.message)
            return True
        return False

    def EmptyCall(self, request, context):
        return pb.Empty()

    def UnaryCall(self, request, context):
        self._echo(context)
        self._status(request, context)
        return pb.SimpleResponse(payload=zeros(request.response_size))

    def StreamingOutputCall(self, request, context):
        self._echo(context)
        for parameters in request.response_parameters:
            time.sleep(parameters.interval_us / 1e6)
            yield pb.StreamingOutputCallResponse(payload=zeros(parameters.size))

    def StreamingInputCall(self, requests, context):
        return pb.StreamingInputCallResponse(aggregated_payload_size=sum(len(r.payload.body) for r in requests))

    def FullDuplexCall(self, requests, context):
        self._echo(context)
        for request in requests:
            if self._status(request, context):
                return
            for parameters in request.response_parameters:
                time.sleep(parameters.interval_us / 1e6)
                yield pb.StreamingOutputCallResponse(payload=zeros(parameters.size))


def serve(ip, port):
    server = grpc.server(futures.ThreadPoolExecutor(16), options=LARGE)
    pb_grpc.add_TestServiceServicer_to_server(Service(), server)
    server.add_insecure_port(f"{ip}:{port}")
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


def outcome(call):
    """Code and details of a call that was read to its end."""
    try:
        for _ in call:
            pass
    except grpc.RpcError:
        pass
    return call.code().value[0], call.details()


def asked(*sizes, payload=0):
    return pb.StreamingOutputCallRequest(response_parameters=[pb.ResponseParameters(size=s) for s in sizes], payload=zeros(payload))


class Cases:
    def __init__(self, address):
        self.channel = grpc.insecure_channel(address, options=LARGE)
        self.stub = pb_grpc.TestServiceStub(self.channel)

    def empty_unary(self):
        assert self.stub.EmptyCall(pb.Empty()) == pb.Empty()

    def _large(self, request, response, **more):
        answer = self.stub.UnaryCall(pb.SimpleRequest(response_size=response, payload=zeros(request)), **more)
        assert len(answer.payload.body) == response

    def large_unary(self):
        self._large(271828, 314159)

    def very_large_unary(self):
        self._large(16000000, 16000000)

    def compressed_unary(self):
        self._large(271828, 314159, compression=grpc.Compression.Gzip)

    def client_streaming(self):
        sizes = (27182, 8, 1828, 45904)
        answer = self.stub.StreamingInputCall(pb.StreamingInputCallRequest(payload=zeros(s)) for s in sizes)
        assert answer.aggregated_payload_size == 74922

    def server_streaming(self):
        answers = self.stub.StreamingOutputCall(asked(31415, 9, 2653, 58979))
        assert [len(a.payload.body) for a in answers] == [31415, 9, 2653, 58979]

    def ping_pong(self):
        import queue

        requests = queue.Queue()
        call = self.stub.FullDuplexCall(iter(requests.get, None))
        for size, own in ((31415, 27182), (9, 8), (2653, 1828), (58979, 45904)):
            requests.put(asked(size, payload=own))
            assert len(next(call).payload.body) == size
        requests.put(None)
        assert list(call) == []

    def empty_stream(self):
        assert list(self.stub.FullDuplexCall(iter(()))) == []

    def _fails_with(self, code, message):
        status = pb.EchoStatus(code=code, message=message)
        try:
            self.stub.UnaryCall(pb.SimpleRequest(response_status=status))
            raise AssertionError("no error")
        except grpc.RpcError as error:
            assert (error.code().value[0], error.details()) == (code, message), error
        call = self.stub.FullDuplexCall(iter([pb.StreamingOutputCallRequest(response_status=status)]))
        assert outcome(call) == (code, message)

    def status_code_and_message(self):
        self._fails_with(2, "test status message")

    def special_status_message(self):
        self._fails_with(2, "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n")

    def _unimplemented(self, stub):
        try:
            stub.UnimplementedCall(pb.Empty())
            raise AssertionError("no error")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error

    def unimplemented_method(self):
        self._unimplemented(self.stub)

    def unimplemented_service(self):
        self._unimplemented(pb_grpc.UnimplementedServiceStub(self.channel))

    def cancel_after_begin(self):
        import threading

        hold = threading.Event()

        def requests():
            hold.wait(5)
            return
            yield

        call = self.stub.StreamingInputCall.future(requests())
        call.cancel()
        hold.set()
        assert call.cancelled() and call.code() == grpc.StatusCode.CANCELLED

    def cancel_after_first_response(self):
        import queue

        requests = queue.Queue()
        call = self.stub.FullDuplexCall(iter(requests.get, None))
        requests.put(asked(31415, payload=27182))
        assert len(next(call).payload.body) == 31415
        call.cancel()
        requests.put(None)
        assert outcome(call)[0] == 1

    def timeout_on_sleeping_server(self):
        import queue

        requests = queue.Queue()
        requests.put(pb.StreamingOutputCallRequest(payload=zeros(27182)))
        call = self.stub.FullDuplexCall(iter(requests.get, None), timeout=0.1)
        assert outcome(call)[0] == 4
        requests.put(None)

    def custom_metadata(self):
        metadata = ((INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab"))

        def check(call):
            assert dict(call.initial_metadata())[INITIAL] == "test_initial_metadata_value"
            assert dict(call.trailing_metadata())[TRAILING] == b"\xab\xab\xab"

        request = pb.SimpleRequest(response_size=314159, payload=zeros(271828))
        check(self.stub.UnaryCall.with_call(request, metadata=metadata)[1])
        call = self.stub.FullDuplexCall(iter([asked(314159, payload=271828)]), metadata=metadata)
        assert len(next(call).payload.body) == 314159
        assert list(call) == []
        check(call)


def run(address, names):
    cases = Cases(address)
    for name in names:
        problem = ""
        try:
            getattr(cases, name)()
        except BaseException as error:  # noqa: BLE001
            problem = f"{type(error).__name__}: {error}" or "failed"
        print(json.dumps({"name": name, "problem": problem}), flush=True)


if sys.argv[1] == "server":
    serve(sys.argv[2], sys.argv[3])
else:
    run(sys.argv[2], sys.argv[3:])
os._exit(0)
