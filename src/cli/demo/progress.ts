import type { StageReport } from './report.ts';

/** What is told while the demo runs. */
export interface Progress {
  step(text: string): void;
  stage(report: StageReport): void;
}
