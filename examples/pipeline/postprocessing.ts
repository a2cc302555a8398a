import { create } from '@bufbuild/protobuf';
import { type Answer, AnswerSchema, type Prediction } from './gen/pipeline_pb.js';
import { finishPrediction } from './postprocess.ts';
import { handleUnary } from './rpc.ts';
import { finish } from './services.ts';
import { readNumber } from './settings.ts';
import type { StageOptions } from './stage.ts';

/** Stage three: a model's label → an answer a person or a program can use. */
export const postprocessingStage = (env: NodeJS.ProcessEnv): StageOptions => {
  const threshold = readNumber(env, 'THRESHOLD', 0.3, 0, 1);
  return {
    name: 'postprocessing',
    port: readNumber(env, 'PORT', 9000, 0, 65_535),
    healthPort: readNumber(env, 'HEALTH_PORT', 8081, 0, 65_535),
    drainDelayMs: readNumber(env, 'DRAIN_DELAY_MS', 1_000, 0, 60_000),
    method: finish,
    handler: handleUnary<Prediction, Answer>(async ({ id, label, probability, model, version, pod }) => {
      const { language, languageName, confident } = finishPrediction({ label, probability }, threshold);
      const json = JSON.stringify({ id, language, languageName, probability, confident, model, version, pod });
      return create(AnswerSchema, { id, language, languageName, probability, confident, model, version, pod, json });
    }),
  };
};
