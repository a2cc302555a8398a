import type { Command } from 'commander';

export const addDemoCommand = (_root: Command): void => {};
