/** Everything that is fuzzed. */
import { meshTargets } from './mesh-targets.ts';
import { protocolTargets } from './protocol-targets.ts';
import type { Target } from './target.ts';

export const targets: readonly Target[] = [...protocolTargets, ...meshTargets];
