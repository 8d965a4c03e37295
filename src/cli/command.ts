/** What a command is told beside its own arguments. */
export interface Context {
  /** The node to ask, HOST:PORT. */
  readonly endpoint: string;
}

export interface Command {
  readonly name: string;
  /** How it is called, for the list of commands. */
  readonly synopsis: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What `dbg help COMMAND` prints. */
  readonly help: string;
  /** Gives the exit code. Throws UsageError for wrong usage and HamletError for failures. */
  run(args: readonly string[], context: Context): Promise<number>;
}
