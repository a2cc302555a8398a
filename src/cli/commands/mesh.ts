import type { Command } from 'commander';

export const addMeshCommands = (_root: Command): void => {};
