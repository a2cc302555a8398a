import { create } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { ChannelPool } from './channel-pool.ts';
import { handOn } from './context-headers.ts';
import { type AnalyzeRequest, type Answer, PredictRequestSchema } from './gen/pipeline_pb.js';
import { MAX_INPUT_CHARACTERS, prepareText } from './preprocess.ts';
import { handleUnary, RpcError } from './rpc.ts';
import { analyze, predict } from './services.ts';
import { readNumber, readText } from './settings.ts';
import type { StageOptions } from './stage.ts';

/** Stage one: text from anywhere → text for a model → `inference-api`. */
export const preprocessingStage = (env: NodeJS.ProcessEnv): StageOptions => {
  const pool = new ChannelPool({
    target: readText(env, 'INFERENCE_TARGET'),
    size: readNumber(env, 'CHANNELS', 4, 1, 64),
    maxAgeMs: readNumber(env, 'CHANNEL_MAX_AGE_MS', 60_000, 0, 86_400_000),
  });
  return {
    name: 'preprocessing',
    port: readNumber(env, 'PORT', 9000, 0, 65_535),
    healthPort: readNumber(env, 'HEALTH_PORT', 8081, 0, 65_535),
    drainDelayMs: readNumber(env, 'DRAIN_DELAY_MS', 1_000, 0, 60_000),
    method: analyze,
    onClose: () => pool.close(),
    handler: handleUnary<AnalyzeRequest, Answer>(async (request, call) => {
      if (request.text.length > MAX_INPUT_CHARACTERS) {
        throw new RpcError(
          status.INVALID_ARGUMENT,
          `AnalyzeRequest.text: ${request.text.length} characters, at most ${MAX_INPUT_CHARACTERS} are taken; split the text`,
        );
      }
      const { text, sentences } = prepareText(request.text);
      if (text === '')
        throw new RpcError(
          status.INVALID_ARGUMENT,
          'AnalyzeRequest.text: nothing is left after clean-up; send text, not only mark-up or addresses',
        );
      return await pool.call(
        predict,
        create(PredictRequestSchema, { id: request.id, text, sentences }),
        call.getDeadline(),
        handOn(call.metadata),
      );
    }),
  };
};
