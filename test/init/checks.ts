import { execFileSync } from 'node:child_process';
import type { Test } from 'tap';
import { programs, type Machine } from './machine.js';

/** What the files in init/ ask for. */
const askedFileLimit = 1_048_576;
const componentCount = 7;

/** As many descriptors as asked for, or as this machine allows. */
function wantedFileLimit(): number {
  const hard = execFileSync('sh', ['-c', 'ulimit -H -n'], { encoding: 'utf8' }).trim();
  return hard === 'unlimited' ? askedFileLimit : Math.min(askedFileLimit, Number(hard));
}

/** What Hamlet has printed, where the init puts it. */
export type Output = () => string | undefined | Promise<string>;

/** Waits for the node, and checks that all of it runs with what the files in init/ ask for, and where its output is. */
export async function checkStart(t: Test, machine: Machine, output: Output): Promise<void> {
  await machine.ready();
  await machine.waitFor(
    'its output',
    async () => /The node is ready/.exec((await output()) ?? '') ?? undefined,
  );
  const pid = await machine.hamletPid();
  t.equal(machine.running().length, componentCount, 'all components run');
  const limits = machine.read(`/proc/${pid}/limits`);
  t.match(limits, new RegExp(`^Max open files +${wantedFileLimit()} `, 'm'), 'file limit');
  t.match(machine.read(`/proc/${pid}/environ`), /(^|\0)MALLOC_ARENA_MAX=1\0/, 'environment');
}

/** Kills Hamlet, and checks that the next one goes on with the same components. */
export async function checkKill(t: Test, machine: Machine): Promise<void> {
  const running = machine.running();
  const pid = await machine.hamletPid();
  await machine.kill(pid, 'KILL');
  t.not(await machine.hamletPid(pid), pid);
  await machine.ready();
  t.same(machine.running(), running, 'none of the components has been started again');
}

/** Has a new version put in the place of the one that runs, and checks that it goes on with the same components. */
export async function checkUpgrade(
  t: Test,
  machine: Machine,
  upgrade: () => Promise<unknown>,
): Promise<void> {
  const running = machine.running();
  const pid = await machine.hamletPid();
  await upgrade();
  t.not(await machine.hamletPid(pid), pid);
  await machine.ready();
  t.same(machine.running(), running, 'none of the components has been started again');
}

/** Checks in what Hamlet has printed that everything has stopped, and in order. */
export function checkOrder(t: Test, output = ''): void {
  const stopping = output.slice(output.lastIndexOf('stopped by SIGTERM'));
  const places = ['kube.kubelet', 'kube.apiserver', 'etcd'].map((name) =>
    stopping.search(new RegExp(`-- +${name} +stopped`)),
  );
  t.ok(
    places.every((place) => place > 0),
    `all have stopped: ${stopping}`,
  );
  const inOrder = places.toSorted((a, b) => a - b);
  t.same(places, inOrder, 'who needs another one stops before it');
}

/** What Hamlet prints last on a node that has stopped. */
export const lastLine = /etcd +stopped/;

/** Runs `end`, which ends the machine, and gives what Hamlet has printed until then to a file. */
export function lastWords(machine: Machine, file: string, end: readonly string[]): Promise<string> {
  const follow = (root: string) => ['tail', '--lines=+1', '--follow=descriptor', `${root}${file}`];
  return machine.lastWords(follow, end, lastLine);
}

/** Checks that nothing is left of a node that has stopped. */
export function checkNothingLeft(t: Test, machine: Machine): void {
  const mounts = (machine.read('/proc/1/mounts') ?? '').split('\n');
  const processes = machine.processes().filter(({ name }) => programs.includes(name));
  t.same(processes, [], 'no process is left');
  const secrets = mounts.filter((line) => line.includes(' /run/hamlet/secrets'));
  t.same(secrets, [], 'nor any secret');
}

/** The names of a machine, and the inodes and times of the files that have them: what is written anew is touched. */
export async function namesOf(machine: Machine): Promise<string> {
  const files = ['/etc/machine-id', '/etc/os-release', '/etc/hostname', '/etc/hosts'];
  const { stdout } = await machine.run(['stat', '--dereference', '--format=%n %i %s %z', ...files]);
  return `${await machine.output(['hostname'])}${stdout}`;
}
