import { readFileSync, statSync } from 'node:fs';
import * as v from 'valibot';
import { replaceFile } from '../lib/files.js';
import { bootId } from '../platform/boot-id.js';

const schema = v.object({ boot: v.string(), files: v.record(v.string(), v.string()) });

/**
 * Which files were compared with their SHA-256 since the machine's boot, so that another start of Hamlet does not take
 * a tenth of a second for it. A file that anybody has written to since then, or put in its place, is not among them.
 */
export class CheckedFiles {
  readonly #record: string;
  readonly #files: Map<string, string>;

  /** `record` is the file in which that is kept; one that cannot be read, or is of another boot, counts as empty. */
  constructor(record: string) {
    this.#record = record;
    this.#files = new Map(Object.entries(read(record)));
  }

  /** Whether this very file was compared. Throws where it is gone. */
  has(file: string): boolean {
    return this.#files.get(file) === identityOf(file);
  }

  /** Runs the comparison of a file, and remembers it for the starts to come unless it throws. */
  async check(file: string, compare: () => Promise<void>): Promise<void> {
    const identity = identityOf(file);
    await compare();
    this.#files.set(file, identity);
    this.#write();
  }

  #write(): void {
    try {
      const content = { boot: bootId(), files: Object.fromEntries(this.#files) };
      replaceFile(this.#record, JSON.stringify(content), 0o600);
    } catch {
      // The next start compares once more.
    }
  }
}

function read(record: string): Readonly<Record<string, string>> {
  try {
    const { boot, files } = v.parse(schema, JSON.parse(readFileSync(record, 'utf8')));
    return boot === bootId() ? files : {};
  } catch {
    return {};
  }
}

/** The time of the last change is the kernel's own: nobody can set it, as they can that of the last writing. */
function identityOf(file: string): string {
  const { dev, ino, size, ctimeNs } = statSync(file, { bigint: true });
  return [dev, ino, size, ctimeNs].join(':');
}
