export { runNode } from './runtime.ts';
