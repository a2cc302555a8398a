import type { Fault } from '../plan.ts';
import { durationAt } from './duration.ts';
import type { Problems } from './problem.ts';
import type { IstioFault, IstioPercent } from './virtual-service-object.ts';

/** Names of gRPC's status codes, in their order. */
const GRPC_STATUSES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
];

/** A Percent, or its older whole number; 0 to 100. Undefined: neither is written, or it was reported. */
export const percentAt = (
  problems: Problems,
  path: string,
  written: IstioPercent | undefined,
  older?: number | null,
): number | undefined => {
  const value = written !== undefined ? (written.value ?? 0) : (older ?? undefined);
  if (value === undefined || (value >= 0 && value <= 100)) return value;
  return problems.invalid(path, `${value} is not a percentage`, 'write 0 to 100');
};

/** HTTPFaultInjection. A part without a percentage, or with 0, is no fault. */
export const faultOf = (problems: Problems, path: string, written: IstioFault | undefined): Fault | undefined => {
  if (written === undefined) return undefined;
  if (written.delay === undefined && written.abort === undefined) return problems.invalid(path, 'has neither delay nor abort');
  const delay = delayOf(problems, `${path}.delay`, written.delay);
  const abort = abortOf(problems, `${path}.abort`, written.abort);
  return delay === undefined && abort === undefined
    ? undefined
    : { ...(delay !== undefined && { delay }), ...(abort !== undefined && { abort }) };
};

const delayOf = (problems: Problems, path: string, delay: IstioFault['delay']): Fault['delay'] => {
  if (delay === undefined) return undefined;
  const percentage = percentAt(problems, `${path}.percentage`, delay.percentage, delay.percent) ?? 0;
  if (delay.exponentialDelay !== undefined) {
    return problems.unsupported(`${path}.exponentialDelay`, 'is not implemented (nor in Istio): nothing is delayed', 'use fixedDelay');
  }
  if (delay.fixedDelay === undefined) return problems.invalid(path, 'has no fixedDelay');
  const duration = durationAt(problems, `${path}.fixedDelay`, delay.fixedDelay);
  return duration === undefined || percentage === 0 ? undefined : { percentage, duration };
};

const abortOf = (problems: Problems, path: string, abort: IstioFault['abort']): Fault['abort'] => {
  if (abort === undefined) return undefined;
  const percentage = percentAt(problems, `${path}.percentage`, abort.percentage) ?? 0;
  const { httpStatus, grpcStatus, http2Error } = abort;
  if ([httpStatus, grpcStatus, http2Error].filter((value) => value !== undefined).length !== 1) {
    return problems.invalid(path, 'needs exactly one of httpStatus and grpcStatus');
  }
  if (http2Error !== undefined) {
    return problems.unsupported(`${path}.http2Error`, 'is not implemented (nor in Istio): nothing is aborted', 'use httpStatus');
  }
  if (grpcStatus !== undefined) {
    const code = GRPC_STATUSES.indexOf(grpcStatus);
    if (code < 0)
      return problems.invalid(`${path}.grpcStatus`, `${JSON.stringify(grpcStatus)} is not the name of a status`, 'for example UNAVAILABLE');
    return percentage === 0 ? undefined : { percentage, grpcStatus: code };
  }
  const status = httpStatus ?? 0;
  if (!Number.isInteger(status) || status < 200 || status > 599)
    return problems.invalid(`${path}.httpStatus`, `${status} is not 200 to 599`);
  return percentage === 0 ? undefined : { percentage, httpStatus: status };
};
