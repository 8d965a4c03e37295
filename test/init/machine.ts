import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { readTable } from '../../src/host/children-table.js';
import { poll } from '../../src/lib/time.js';
import { missingPackages } from '../../src/provision/packages.js';
import { unpackPackages } from '../node/support/debian-packages.js';
import { run, type Result } from '../node/support/hamlet.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const setUp = path.join(root, 'test/init/set-up.sh');
/** Where the files in init/ have Hamlet. */
const installed = '/usr/lib/hamlet';
const cacheDir = process.env.HAMLET_CACHE_DIR ?? '/var/cache/hamlet';

const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
/** The machine's, of TEST-NET-2 (RFC 5737). */
export const address = '198.51.100.2';
/** On two cores with other work on them a node takes up to 20 s to start. */
export const patienceMs = 120_000;
/** A machine without a network gives up by itself only after minutes. */
const fetchTimeoutMs = 60_000;
/** What a node starts, by its names in /proc/PID/comm; `node` is Hamlet itself. */
export const programs = ['node', 'etcd', 'containerd', 'kube'];

export interface MachineOptions {
  /** The first process: a program and its arguments. */
  readonly init: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** From fetchPackages(): what lies over this machine's root. */
  readonly packages?: string;
  /** Folders whose content on this machine is of no concern. */
  readonly empty?: readonly string[];
  /** Files by their place: a file of init/, or a text. */
  readonly files?: Readonly<Record<string, { readonly copyOf: string } | { readonly text: string }>>;
  /** Settings for /etc/hamlet/config.yaml. */
  readonly settings?: object;
}

/** A component as it is on record: another process or another run of it makes another word. */
export type Running = readonly string[];

/**
 * A machine of its own for an init: PIDs, mounts, network, host name, cgroups. Its root is this machine's, with
 * whatever is written there kept in memory. It ends with the init.
 */
export class Machine {
  readonly #folder: string;
  readonly #process: ChildProcess;
  readonly #cgroups: readonly string[];
  #output = '';

  private constructor(folder: string, cgroups: readonly string[], process: ChildProcess) {
    this.#folder = folder;
    this.#cgroups = cgroups;
    this.#process = process;
    for (const stream of [process.stdout, process.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.#output += text));
    }
  }

  static async start(options: MachineOptions): Promise<Machine> {
    const folder = mkdtempSync(path.join(tmpdir(), 'hamlet-'));
    for (const name of ['files', 'scratch', 'root']) mkdirSync(path.join(folder, name));
    if (options.packages === undefined) mkdirSync(path.join(folder, 'packages'));
    else symlinkSync(options.packages, path.join(folder, 'packages'));
    const config = { text: JSON.stringify({ components: { cacheDir }, ...options.settings }) };
    const files: MachineOptions['files'] = { '/etc/hamlet/config.yaml': config, ...options.files };
    for (const [name, source] of Object.entries(files)) {
      const file = path.join(folder, 'files', name);
      mkdirSync(path.dirname(file), { recursive: true });
      if ('text' in source) writeFileSync(file, source.text);
      else copyFileSync(path.resolve(root, source.copyOf), file);
      if ('copyOf' in source) chmodSync(file, 0o755);
    }
    const lines = (name: string, words: readonly string[]) =>
      writeFileSync(path.join(folder, name), words.map((word) => `${word}\n`).join(''));
    lines('empty', ['/var/lib/hamlet', ...(options.empty ?? [])]);
    lines('shared', [`${root} ${installed}`, `${cacheDir} ${cacheDir}`]);
    const hierarchies = listHierarchies();
    lines(
      'cgroups',
      hierarchies.map(({ name, type, options: mountOptions }) => `${name} ${type} ${mountOptions}`),
    );

    const cgroups = hierarchies.map(({ point }) => makeCgroup(point, path.basename(folder)));
    // A shell goes into the cgroups first: they become the roots of the new namespace.
    const enter = 'for cgroup in $CGROUPS; do echo $$ > "$cgroup/cgroup.procs"; done; exec "$@"';
    const child = spawn(
      'sh',
      [
        ...['-c', enter, 'sh', 'unshare', '--mount', '--pid', '--net', '--uts', '--ipc', '--cgroup'],
        ...['--fork', '--kill-child', 'env', '-i', `PATH=${PATH}`],
        ...Object.entries(options.env ?? {}).map(([name, value]) => `${name}=${value}`),
        ...['sh', setUp, folder, address, ...options.init],
      ],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH, CGROUPS: cgroups.join(' ') } },
    );
    const machine = new Machine(folder, cgroups, child);
    await machine.waitFor('the first process', () => machine.#hasSetUp() || undefined);
    return machine;
  }

  /** What the init has written to its console. */
  get console(): string {
    return this.#output;
  }

  /** Runs a program on this machine. */
  run(words: readonly string[]): Promise<Result> {
    const enter = ['--target', String(this.#initPid()), '--all'];
    // With nothing of this process's environment: the test's runner has its own loader in it.
    return run('nsenter', [...enter, 'env', '-i', `PATH=${PATH}`, ...words]);
  }

  /** Runs a program on this machine and gives its output; throws with its messages when it fails. */
  async output(words: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(words);
    if (code !== 0) throw new Error(`${words.join(' ')}: exit code ${code}: ${stderr}${stdout}`);
    return stdout;
  }

  hamlet(words: readonly string[]): Promise<Result> {
    return this.run([process.execPath, `${installed}/dist/bundle/main.js`, ...words]);
  }

  dbg(words: readonly string[]): Promise<Result> {
    return this.run([process.execPath, `${installed}/dist/bundle/cli/main.js`, ...words]);
  }

  /** A file of this machine; undefined when there is none. */
  read(file: string): string | undefined {
    try {
      return readFileSync(`/proc/${this.#initPid()}/root${file}`, 'utf8');
    } catch {
      return undefined;
    }
  }

  /** Waits until something holds; tells what the console has shown when it does not come, or cannot any more. */
  async waitFor<T>(what: string, probe: () => T | undefined | Promise<T | undefined>): Promise<T> {
    const look = async () => {
      const found = await probe();
      return found === undefined && !this.#hasEnded() ? undefined : { found };
    };
    const failed = (cause?: unknown) =>
      new Error(`${what}: not seen. The console:\n${this.#output}`, { cause });
    const { found } = await poll(look, { everyMs: 100, timeoutMs: patienceMs, what }).catch(
      (cause: unknown) => {
        throw failed(cause);
      },
    );
    if (found === undefined) throw failed(new Error('the machine has ended'));
    return found;
  }

  /** Waits until Hamlet's process is another one than `before`, and gives the new one's PID there. */
  hamletPid(before = 0): Promise<number> {
    return this.waitFor('the process that runs the node', () => {
      const pid = Number(this.read('/run/hamlet/hamlet.lock')?.split(' ')[0] ?? 0);
      return pid > 0 && pid !== before && this.read(`/proc/${pid}/comm`) !== undefined ? pid : undefined;
    });
  }

  /** Waits until its own client says that everything about the node is as it should be. */
  async ready(): Promise<void> {
    const isReady = async () => {
      const { code, stdout } = await this.dbg(['condition', '--output=json']);
      return (code === 0 && /"ok": *true/.test(stdout) && !/"ok": *false/.test(stdout)) || undefined;
    };
    await this.waitFor('a ready node', isReady).catch(async (cause: unknown) => {
      const all = await Promise.all([this.dbg(['condition']), this.dbg(['history'])]);
      throw new Error(all.map(({ stdout, stderr }) => stdout + stderr).join('\n'), { cause });
    });
  }

  /** The components that run, by name, PID, start time and run. */
  running(): Running {
    return readTable(`/proc/${this.#initPid()}/root/run/hamlet/children.json`)
      .filter(({ pid, exit }) => exit === null && this.read(`/proc/${pid}/comm`) !== undefined)
      .map(({ name, pid, startTicks, run: times }) => [name, pid, startTicks, times].join(' '))
      .sort();
  }

  processes(): { readonly pid: number; readonly name: string; readonly state: string }[] {
    return readdirSync(`/proc/${this.#initPid()}/root/proc`)
      .filter((entry) => /^\d+$/.test(entry))
      .flatMap((entry) => {
        const status = this.read(`/proc/${entry}/status`);
        const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status ?? '')?.[1] ?? '';
        return status === undefined
          ? []
          : [{ pid: Number(entry), name: field('Name'), state: field('State') }];
      });
  }

  runs(name: string): boolean {
    return this.processes().some((process) => process.name === name);
  }

  /** Sends a signal to a process by its PID on this machine. */
  async kill(pid: number, signal: string): Promise<void> {
    await this.output(['kill', '-s', signal, String(pid)]);
  }

  /** Waits until the init has ended, and gives its exit code; null when a signal ended it. */
  async ended(): Promise<number | null> {
    await this.waitFor('the end of the machine', () => this.#hasEnded() || undefined);
    return this.#process.exitCode;
  }

  /**
   * Runs `end`, which ends the machine, and gives what `follow`, a program outside of it that gets the place of the
   * machine's root, has printed up to `last`, which it may still have to read when the machine is over.
   */
  async lastWords(
    follow: (root: string) => readonly string[],
    end: readonly string[],
    last: RegExp,
  ): Promise<string> {
    const [file = '', ...args] = follow(`/proc/${this.#initPid()}/root`);
    const follower = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    follower.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    try {
      // The machine may end before this program does.
      await this.run(end);
      await this.ended();
      const said = () => last.test(text) || undefined;
      await poll(said, { everyMs: 50, timeoutMs: 5_000, what: 'its last words' }).catch(() => undefined);
    } finally {
      follower.kill();
    }
    return text;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const over = this.#hasEnded() ? Promise.resolve() : once(this.#process, 'exit');
    const init = this.#initPid();
    // All others end with the first process.
    if (init !== undefined) process.kill(init, 'SIGKILL');
    await over;
    for (const cgroup of this.#cgroups) await removeCgroup(cgroup);
    rmSync(this.#folder, { recursive: true });
  }

  #hasEnded(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  /** The PID that this machine's first process has outside. */
  #initPid(): number | undefined {
    if (this.#hasEnded()) return undefined;
    const children = `/proc/${this.#process.pid}/task/${this.#process.pid}/children`;
    const pid = Number(readFileSync(children, 'utf8').trim());
    return pid > 0 ? pid : undefined;
  }

  #hasSetUp(): boolean {
    if (this.#hasEnded()) return true;
    const pid = this.#initPid();
    // The set-up is a shell with the script as its second word.
    return pid !== undefined && !readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(setUp);
  }
}

/**
 * Downloads those of these Debian packages that are not installed here. Gives the folder that they were unpacked to,
 * which goes with the test, or why tests with them cannot run.
 */
export async function fetchPackages(
  t: Test,
  names: readonly string[],
): Promise<{ readonly skip: string | false; readonly packages: string }> {
  const packages = mkdtempSync(path.join(tmpdir(), 'hamlet-'));
  t.teardown(() => rmSync(packages, { recursive: true }));
  if (process.geteuid?.() !== 0) return { skip: 'a machine of its own needs root', packages };
  const signal = AbortSignal.timeout(fetchTimeoutMs);
  try {
    const missing = await missingPackages(names, signal);
    if (missing.length > 0) await unpackPackages(missing, packages, path.join(cacheDir, 'packages'), signal);
    return { skip: false, packages };
  } catch {
    return { skip: `not all of ${names.join(', ')} is installed, or can be fetched from Debian`, packages };
  }
}

interface Hierarchy {
  readonly name: string;
  readonly point: string;
  readonly type: string;
  /** For mount(8). */
  readonly options: string;
}

/** The cgroup hierarchies of this machine (proc(5), mountinfo); of several on one place the last is seen. */
function listHierarchies(): Hierarchy[] {
  const found = new Map<string, Hierarchy>();
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const point = before.split(' ')[4] ?? '';
    const [type = '', , options = ''] = after.split(' ');
    if (!type.startsWith('cgroup')) continue;
    const words = options.split(',').filter((word) => !['rw', 'ro', 'relatime'].includes(word));
    if (words[0]?.startsWith('name=') === true) words.unshift('none');
    found.set(point, { name: path.basename(point), point, type, options: words.join(',') });
  }
  return [...found.values()];
}

function makeCgroup(point: string, name: string): string {
  const cgroup = path.join(point, name);
  mkdirSync(cgroup);
  // A cpuset of v1 takes no process before it has processors and memory.
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    if (existsSync(path.join(point, file)) && existsSync(path.join(point, 'cpuset.sched_load_balance')))
      writeFileSync(path.join(cgroup, file), readFileSync(path.join(point, file)));
  }
  return cgroup;
}

/** Of the processes that were killed the last may take a moment. */
async function removeCgroup(folder: string): Promise<void> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeCgroup(path.join(folder, entry.name));
  }
  const remove = () => {
    rmdirSync(folder);
    return true;
  };
  await poll(remove, { everyMs: 50, timeoutMs: 10_000, what: `the end of all in ${folder}` });
}
