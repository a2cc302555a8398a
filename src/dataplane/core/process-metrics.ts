/** What every proxy says of its process. */
import fs from 'node:fs';
import type { Registry } from '../../platform/telemetry/index.ts';

export function describeBuild(telemetry: Registry, component: string): void {
  telemetry.gauge('istio_build', 'Istio component build info (unstable)', ['component', 'tag']).labels({ component, tag: 'lateen' }).set(1);
}

/** Each of a group of processes; the sum is the group's. */
export function describeProcess(telemetry: Registry): void {
  const cpu = telemetry.counter('process_cpu_seconds', 'Total user and system CPU time spent in seconds (unstable)').labels();
  const open = telemetry.gauge('process_open_fds', 'Number of open file descriptors (unstable)');
  const most = telemetry.gauge('process_max_fds', 'Maximum number of open file descriptors (unstable)');
  const resident = telemetry.gauge('process_resident_memory_bytes', 'Resident memory size in bytes (unstable)');
  telemetry.onCollect(() => {
    const { user, system } = process.cpuUsage();
    cpu.value = (user + system) / 1e6;
    open.set(fs.readdirSync('/proc/self/fd').length);
    most.set(maxDescriptors());
    resident.set(process.memoryUsage.rss());
  });
}

/** The soft limit of open files. */
export const maxDescriptors = (): number =>
  Number(/^Max open files\s+(\d+)/m.exec(fs.readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 1024);
