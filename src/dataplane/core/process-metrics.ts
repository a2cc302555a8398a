/** What every proxy says of its process. */
import fs from 'node:fs';
import type { Registry } from '../../platform/telemetry/index.ts';

export function describeProcess(telemetry: Registry, component: string): void {
  telemetry.gauge('istio_build', 'Istio component build info (unstable)', ['component', 'tag']).labels({ component, tag: 'lateen' }).set(1);
  const open = telemetry.gauge('process_open_fds', 'Number of open file descriptors (unstable)');
  const most = telemetry.gauge('process_max_fds', 'Maximum number of open file descriptors (unstable)');
  const resident = telemetry.gauge('process_resident_memory_bytes', 'Resident memory size in bytes (unstable)');
  telemetry.onCollect(() => {
    open.set(fs.readdirSync('/proc/self/fd').length);
    most.set(maxDescriptors());
    resident.set(process.memoryUsage.rss());
  });
}

/** The soft limit of open files. */
export const maxDescriptors = (): number =>
  Number(/^Max open files\s+(\d+)/m.exec(fs.readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 1024);
