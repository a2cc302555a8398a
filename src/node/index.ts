export { runNodeAgent } from './main.ts';
