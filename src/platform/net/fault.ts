/** Bugs in the code that handles connections: they end the connection they happened on and are reported, never the process. */

type Reporter = (error: Error) => void;

let reporter: Reporter = (error) => {
  process.stderr.write(`fault in a connection handler: ${error.stack ?? error.message}\n`);
};

/** Where faults go instead of standard error. */
export function onConnectionFault(report: Reporter): void {
  reporter = report;
}

export function reportFault(error: unknown): void {
  reporter(error instanceof Error ? error : new Error(String(error)));
}
