/**
 * The announcing side of one ZDS connection (the node agent's), without sockets: hello, snapshot, then changes, one request outstanding at a time.
 * `handle` takes what happened and gives what to do; `nextDeadline` says when `tick` is due.
 */
import { Version, WorkloadRequestTable, WorkloadResponseTable, ZdsHelloTable } from '../gen/tables.ts';
import { decodeMessage } from '../protobuf/decode.ts';
import { encodeMessage } from '../protobuf/encode.ts';
import type { Init, MessageOf } from '../protobuf/table.ts';

/** How long the proxy may take to say hello or to answer one request. */
export const ZDS_DEADLINE_MS = 5_000;
/** Requests that may wait on one connection: a node's pods several times over. */
export const MAX_QUEUED_REQUESTS = 4_096;

export interface ZdsWorkload {
  /** The pod's `metadata.uid`. */
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

export type ZdsRequest =
  | { readonly kind: 'add'; readonly workload: ZdsWorkload; readonly netns: number }
  | { readonly kind: 'keep'; readonly uid: string }
  | { readonly kind: 'del'; readonly uid: string }
  | { readonly kind: 'snapshotSent' };

export type ZdsInput =
  | { readonly kind: 'received'; readonly bytes: Uint8Array; readonly descriptors: number }
  /** `id` comes back in a `settled` output. */
  | { readonly kind: 'request'; readonly id: number; readonly request: ZdsRequest }
  /** `reason`: when it was a failure and not the peer's wish. */
  | { readonly kind: 'ended'; readonly reason?: string };

export type ZdsOutput =
  /** The first output of a connection that said a valid hello: time to hand over the snapshot. */
  | { readonly kind: 'hello' }
  | { readonly kind: 'send'; readonly bytes: Uint8Array; readonly netns?: number }
  /** Without `error`: acknowledged. */
  | { readonly kind: 'settled'; readonly id: number; readonly error?: string }
  | { readonly kind: 'close'; readonly reason: string };

interface Pending {
  readonly id: number;
  readonly request: ZdsRequest;
}

export class ZdsMachine {
  #phase: 'hello' | 'open' | 'closed' = 'hello';
  readonly #queue: Pending[] = [];
  #outstanding: Pending | undefined;
  #deadline: number | undefined;

  constructor(now: number) {
    this.#deadline = now + ZDS_DEADLINE_MS;
  }

  get isOpen(): boolean {
    return this.#phase === 'open';
  }

  nextDeadline(): number | undefined {
    return this.#deadline;
  }

  handle(input: ZdsInput, now: number): ZdsOutput[] {
    if (input.kind === 'request') return this.#enqueue(input, now);
    if (this.#phase === 'closed') return [];
    if (input.kind === 'ended') return this.#close(input.reason ?? 'the proxy closed the connection');
    if (input.descriptors > 0) return this.#close('the proxy sent a descriptor, which only this side may');
    return this.#phase === 'hello' ? this.#hello(input.bytes) : this.#response(input.bytes, now);
  }

  tick(now: number): ZdsOutput[] {
    if (this.#phase === 'closed' || this.#deadline === undefined || now < this.#deadline) return [];
    const waitedFor = this.#phase === 'hello' ? 'said no hello' : `did not answer ${this.#outstanding?.request.kind ?? 'a request'}`;
    return this.#close(`the proxy ${waitedFor} within ${ZDS_DEADLINE_MS / 1000} s`);
  }

  #hello(bytes: Uint8Array): ZdsOutput[] {
    const hello = decodeMessage(ZdsHelloTable, bytes);
    if (!hello.ok) return this.#close('the first message is no ZdsHello');
    const { version } = hello.value;
    if (version !== Version.V1) return this.#close(`the proxy speaks ZDS version ${version}, this agent version 1`);
    this.#phase = 'open';
    this.#deadline = undefined;
    return [{ kind: 'hello' }];
  }

  #response(bytes: Uint8Array, now: number): ZdsOutput[] {
    const response = decodeMessage(WorkloadResponseTable, bytes);
    if (!response.ok) return this.#close('the proxy sent something that is no WorkloadResponse');
    const { payload } = response.value;
    if (payload.case !== 'ack') return this.#close('the proxy answered with an empty WorkloadResponse');
    const { error } = payload.value;
    const answered = this.#outstanding;
    if (!answered) return this.#close('the proxy acknowledged although no request is outstanding');
    this.#outstanding = undefined;
    this.#deadline = undefined;
    return [error === '' ? { kind: 'settled', id: answered.id } : { kind: 'settled', id: answered.id, error }, ...this.#next(now)];
  }

  #enqueue(pending: Pending, now: number): ZdsOutput[] {
    if (this.#phase !== 'open') return [{ kind: 'settled', id: pending.id, error: 'the connection to the proxy is not open' }];
    if (this.#queue.length >= MAX_QUEUED_REQUESTS) {
      return [{ kind: 'settled', id: pending.id, error: `more than ${MAX_QUEUED_REQUESTS} requests wait for the proxy` }];
    }
    this.#queue.push(pending);
    return this.#next(now);
  }

  #next(now: number): ZdsOutput[] {
    if (this.#outstanding) return [];
    this.#outstanding = this.#queue.shift();
    if (!this.#outstanding) return [];
    this.#deadline = now + ZDS_DEADLINE_MS;
    const { request } = this.#outstanding;
    const bytes = encodeRequest(request);
    return [request.kind === 'add' ? { kind: 'send', bytes, netns: request.netns } : { kind: 'send', bytes }];
  }

  #close(reason: string): ZdsOutput[] {
    this.#phase = 'closed';
    this.#deadline = undefined;
    const lost = this.#outstanding ? [this.#outstanding, ...this.#queue] : [...this.#queue];
    this.#outstanding = undefined;
    this.#queue.length = 0;
    return [{ kind: 'close', reason }, ...lost.map(({ id }) => ({ kind: 'settled', id, error: reason }) as const)];
  }
}

export function encodeRequest(request: ZdsRequest): Uint8Array {
  return encodeMessage(WorkloadRequestTable, { payload: payloadOf(request) });
}

function payloadOf(request: ZdsRequest): Init<MessageOf<typeof WorkloadRequestTable>['payload']> {
  switch (request.kind) {
    case 'add': {
      const { uid, name, namespace, serviceAccount } = request.workload;
      return { case: 'add', value: { uid, workloadInfo: { name, namespace, serviceAccount } } };
    }
    case 'keep':
      return { case: 'keep', value: { uid: request.uid } };
    case 'del':
      return { case: 'del', value: { uid: request.uid } };
    case 'snapshotSent':
      return { case: 'snapshotSent', value: {} };
  }
}
