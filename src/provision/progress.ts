import { formatDuration } from '../lib/time.js';

/** How often a running step is shown where lines stay (a log), and where one line is drawn over (a terminal). */
const plainEveryMs = 30_000;
const terminalEveryMs = 200;

/** Says where a step is: "812 of 2119 packages". */
export type Report = (detail: string) => void;

/** Tells a person what is going on. */
export interface Progress {
  /** A line of its own. */
  note(text: string): void;
  /** Shows `title` with its running time while `run` goes on, and how long it took at the end. */
  step<T>(title: string, run: (report: Report) => Promise<T>): Promise<T>;
}

/** Where progress goes. `process.stderr` is one. */
export interface ProgressOutput {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Progress as text: one line that is drawn over on a terminal, plain lines elsewhere. */
export function textProgress(output: ProgressOutput): Progress {
  const terminal = output.isTTY === true;
  const clear = terminal ? '\r\x1b[K' : '';
  return {
    note: (text) => void output.write(`${text}\n`),
    async step(title, run) {
      const startedAt = performance.now();
      const elapsed = () => formatDuration(performance.now() - startedAt);
      let detail = '';
      const show = () => {
        const line = `  ${title}${detail === '' ? '' : `: ${detail}`} (${elapsed()})`;
        output.write(terminal ? `${clear}${line.slice(0, (output.columns ?? 80) - 1)}` : `${line}\n`);
      };
      if (terminal) show();
      else output.write(`  ${title}\n`);
      const timer = setInterval(show, terminal ? terminalEveryMs : plainEveryMs);
      try {
        const result = await run((text) => (detail = text));
        output.write(`${clear}  ${title}: done (${elapsed()})\n`);
        return result;
      } catch (error) {
        output.write(`${clear}  ${title}: not done (${elapsed()})\n`);
        throw error;
      } finally {
        clearInterval(timer);
      }
    },
  };
}

/** Progress that nobody watches. */
export const silentProgress: Progress = {
  note: () => {},
  step: (_title, run) => run(() => {}),
};
