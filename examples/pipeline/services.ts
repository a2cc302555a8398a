import {
  AnalyzeRequestSchema,
  AnswerSchema,
  InferenceApi,
  Postprocessing,
  PredictionSchema,
  PredictRequestSchema,
  Preprocessing,
} from './gen/pipeline_pb.js';
import { methodOf } from './rpc.ts';

export const analyze = methodOf(Preprocessing, 'Analyze', AnalyzeRequestSchema, AnswerSchema);
export const predict = methodOf(InferenceApi, 'Predict', PredictRequestSchema, AnswerSchema);
export const finish = methodOf(Postprocessing, 'Finish', PredictionSchema, AnswerSchema);
