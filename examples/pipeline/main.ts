// One program for every pod of the pipeline: `main.ts <role>`, or the role in ROLE. The environment variables of each role are in README.md.
import { SettingError } from './settings.ts';

const roles: Readonly<Record<string, () => Promise<number>>> = {
  preprocessing: async () => (await import('./stage.ts')).runStage((await import('./preprocessing.ts')).preprocessingStage(process.env)),
  inference: async () => (await import('./stage.ts')).runStage(await (await import('./inference.ts')).inferenceStage(process.env)),
  postprocessing: async () => (await import('./stage.ts')).runStage((await import('./postprocessing.ts')).postprocessingStage(process.env)),
  load: async () => (await import('./load/load.ts')).runLoad(process.env),
};

const name = process.argv[2] ?? process.env['ROLE'] ?? '';
const role = roles[name];
if (role === undefined) {
  console.error(`unknown role "${name}": give one of ${Object.keys(roles).join(', ')} as the first argument or in ROLE`);
  process.exit(2);
}
try {
  process.exit(await role());
} catch (error) {
  console.error(error instanceof SettingError ? error.message : error);
  process.exit(1);
}
