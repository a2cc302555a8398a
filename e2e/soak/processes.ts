/** What the operating system says of the processes under test, their children included. */
import fs from 'node:fs';

export interface ProcessUse {
  /** Private resident memory, KiB. */
  privateKib: number;
  rssKib: number;
  descriptors: number;
  /** Processor time so far, microseconds. */
  cpuMicros: number;
}

/** A process and its descendants. */
export function familyOf(pid: number): number[] {
  const family = [pid];
  for (let i = 0; i < family.length; i++) {
    try {
      for (const task of fs.readdirSync(`/proc/${family[i]}/task`)) {
        const children = fs.readFileSync(`/proc/${family[i]}/task/${task}/children`, 'utf8').trim();
        if (children !== '') family.push(...children.split(' ').map(Number));
      }
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }
  return family;
}

/** Sum over a process and its descendants; what ends meanwhile counts nothing. */
export function useOf(pid: number): ProcessUse {
  const use: ProcessUse = { privateKib: 0, rssKib: 0, descriptors: 0, cpuMicros: 0 };
  for (const each of familyOf(pid)) {
    try {
      const memory = fs.readFileSync(`/proc/${each}/smaps_rollup`, 'utf8');
      const read = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(memory)?.[1] ?? 0);
      use.privateKib += read('Private_Clean') + read('Private_Dirty');
      use.rssKib += read('Rss');
      use.descriptors += fs.readdirSync(`/proc/${each}/fd`).length;
      for (const task of fs.readdirSync(`/proc/${each}/task`))
        use.cpuMicros += Number(fs.readFileSync(`/proc/${each}/task/${task}/schedstat`, 'utf8').split(' ')[0]) / 1000;
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }
  return use;
}

const isGone = (error: unknown): boolean => ['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '');
