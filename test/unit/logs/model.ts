/** What a log has to look like after some bytes: written as simply as can be, to hold the real one against it. */
export interface ModelLine {
  readonly text: string;
  readonly trueBytes: number;
  readonly run: number;
}

export class Model {
  readonly lines: ModelLine[] = [];
  readonly #maxLineBytes: number;
  #open = '';

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes;
  }

  /** Takes bytes as latin1, one character a byte. */
  write(bytes: Uint8Array, run: number): void {
    const lines = (this.#open + Buffer.from(bytes).toString('latin1')).split('\n');
    this.#open = lines.pop() ?? '';
    for (const line of lines) this.#add(line, run);
  }

  flush(run: number): void {
    if (this.#open !== '') this.#add(this.#open, run);
    this.#open = '';
  }

  #add(line: string, run: number): void {
    const isCut = line.length > this.#maxLineBytes;
    const text = isCut ? `${line.slice(0, this.#maxLineBytes - 3)}...` : line;
    this.lines.push({ text, trueBytes: line.length, run });
  }
}
