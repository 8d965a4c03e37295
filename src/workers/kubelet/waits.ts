/** Reports that a start waits for something, by name, until the promise is settled; gives what that gives. */
export type WaitingFor = <T>(what: string, until: Promise<T>) => Promise<T>;

/** What the starts that are being prepared wait for. `onChange` is called with the component's name. */
export class Waits {
  readonly #open = new Map<string, Set<string>>();
  readonly #onChange: (name: string) => void;

  constructor(onChange: (name: string) => void) {
    this.#onChange = onChange;
  }

  /** By name, in the order in which it began to wait. */
  of(name: string): readonly string[] {
    return [...(this.#open.get(name) ?? [])];
  }

  /** For a new start of a component: what an earlier one may still wait for counts no more. */
  begin(name: string): WaitingFor {
    const open = new Set<string>();
    this.#open.set(name, open);
    return async (what, until) => {
      open.add(what);
      this.#onChange(name);
      try {
        return await until;
      } finally {
        open.delete(what);
        this.#onChange(name);
      }
    };
  }
}
