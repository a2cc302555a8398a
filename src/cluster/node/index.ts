export { EventRecorder } from './events.ts';
export { runNode } from './runtime.ts';
