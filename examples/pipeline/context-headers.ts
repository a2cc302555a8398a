import { Metadata } from '@grpc/grpc-js';

/**
 * Headers a stage hands on from the call it serves to the calls it makes: what decides the version (`x-model-version`), and what joins the spans of one
 * request. A mesh sees single calls; only the application knows which of them belong together.
 */
const HANDED_ON = ['x-model-version', 'x-request-id', 'traceparent', 'tracestate', 'baggage'] as const;

/** The part of `received` that is handed on. */
export const handOn = (received: Metadata): Metadata => {
  const sent = new Metadata();
  for (const name of HANDED_ON) for (const value of received.get(name)) sent.add(name, value);
  return sent;
};
