import { create } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { ChannelPool } from './channel-pool.ts';
import { handOn } from './context-headers.ts';
import { type Answer, PredictionSchema, type PredictRequest } from './gen/pipeline_pb.js';
import { loadModel, MODEL_NAMES } from './models.ts';
import { handleUnary, RpcError } from './rpc.ts';
import { finish, predict } from './services.ts';
import { readChoice, readNumber, readPodName, readText } from './settings.ts';
import type { StageOptions } from './stage.ts';

/** Stage two: text → a model's label and probability → post-processing. Two Deployments run it with different models. */
export const inferenceStage = async (env: NodeJS.ProcessEnv): Promise<StageOptions> => {
  const model = await loadModel(readChoice(env, 'MODEL', MODEL_NAMES));
  const version = readText(env, 'MODEL_VERSION');
  const pod = readPodName(env);
  const latencyMs = readNumber(env, 'MODEL_LATENCY_MS', 0, 0, 60_000);
  const pool = new ChannelPool({
    target: readText(env, 'POSTPROCESSING_TARGET'),
    size: readNumber(env, 'CHANNELS', 2, 1, 64),
    maxAgeMs: readNumber(env, 'CHANNEL_MAX_AGE_MS', 60_000, 0, 86_400_000),
  });
  return {
    name: 'inference',
    port: readNumber(env, 'PORT', 9000, 0, 65_535),
    healthPort: readNumber(env, 'HEALTH_PORT', 8081, 0, 65_535),
    drainDelayMs: readNumber(env, 'DRAIN_DELAY_MS', 1_000, 0, 60_000),
    method: predict,
    onClose: () => pool.close(),
    handler: handleUnary<PredictRequest, Answer>(async (request, call) => {
      if (request.text === '') throw new RpcError(status.INVALID_ARGUMENT, 'PredictRequest.text: empty; send the text to identify');
      if (latencyMs > 0) await Bun.sleep(latencyMs);
      const { label, probability } = model.predict(request.text);
      const prediction = create(PredictionSchema, { id: request.id, label, probability, model: model.name, version, pod });
      return await pool.call(finish, prediction, call.getDeadline(), handOn(call.metadata));
    }),
  };
};
