import { parseArgs } from 'node:util';
import { HamletError } from '../lib/errors.js';

export const usage = `hamlet: a whole Kubernetes node as one process

Usage:
  hamlet [run]           runs the node in the foreground until SIGTERM or Ctrl-C
  hamlet upgrade         puts this version in the place of the one that runs; nothing is restarted for it
  hamlet reset [--yes]   takes everything away that the node has made: pods, mounts, namespaces,
                         interfaces, firewall rules, state; asks first unless --yes is given
  hamlet pki list        lists the node's certificates (-o json for programs); the node has to run
  hamlet pki rotate-ca   replaces the authorities that issue them; goes on by itself
  hamlet --help          this text

Options:
  --config FILE          the configuration; default /etc/hamlet/config.yaml, and HAMLET_CONFIG before that

Examples:
  hamlet
  hamlet run --config /etc/hamlet/second-node.yaml
  hamlet reset --yes
`;

export interface Arguments {
  readonly command: 'run' | 'upgrade' | 'reset' | 'pki' | 'help';
  readonly config: string | undefined;
  readonly yes: boolean;
  /** What `hamlet pki` hands to dbg. */
  readonly dbg?: readonly string[];
}

/** Reads the command line. Throws INVALID_ARGUMENT that says what was wrong and where the usage is. */
export function parseArguments(words: readonly string[]): Arguments {
  const { values, positionals } = parse(words);
  const [command = 'run', ...rest] = positionals;
  const config = values.config ?? configFromEnvironment();
  const yes = values.yes ?? false;
  if (values.help === true) return { command: 'help', config, yes };
  if (yes && command !== 'reset') throw wrong('--yes belongs to reset');
  if (command === 'pki') return { command, config, yes, dbg: pkiWords(rest, values.output) };
  if (values.output !== undefined) throw wrong('--output belongs to pki list');
  if (rest.length > 0) throw wrong(`unexpected "${rest.join(' ')}"`);
  if (command !== 'run' && command !== 'upgrade' && command !== 'reset') {
    throw wrong(`there is no command "${command}"`);
  }
  return { command, config, yes };
}

/** An empty variable is as good as none. */
function configFromEnvironment(): string | undefined {
  const file = process.env.HAMLET_CONFIG;
  return file === '' ? undefined : file;
}

function pkiWords([what, ...rest]: readonly string[], output: string | undefined): readonly string[] {
  if (rest.length > 0) throw wrong(`unexpected "${rest.join(' ')}"`);
  if (what === 'rotate-ca' && output === undefined) return ['rotate-ca'];
  if (what !== 'list') throw wrong('hamlet pki knows "list" and "rotate-ca"');
  return ['certs', ...(output === undefined ? [] : [`--output=${output}`])];
}

function parse(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        config: { type: 'string' },
        yes: { type: 'boolean', short: 'y' },
        output: { type: 'string', short: 'o' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (cause) {
    throw wrong(cause instanceof Error ? cause.message.split('. ')[0] : 'wrong usage');
  }
}

function wrong(problem = 'wrong usage'): HamletError {
  return new HamletError('INVALID_ARGUMENT', `${problem}; "hamlet --help" lists what there is`, {
    details: { usage: true },
  });
}
