import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { userInfo } from 'node:os';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { GetDebugKubeconfigRequest } from '../../../src/gen/hamlet/debug/v1/debug.js';
import { HamletError } from '../../../src/lib/errors.js';
import { poll } from '../../../src/lib/time.js';
import { dbg, dbgFile, ended, environment, serveDebugApi, startDbg } from './fixture.js';

// Each test starts programs; a busy machine takes a while for that.
t.setTimeout(120_000);

/** A node whose "kubectl" is a shell that runs `script` with dbg's arguments as its own. */
async function nodeWith(t: Test, script: string): Promise<string> {
  return serveDebugApi(t, {
    async getDebugKubeconfig() {
      return {
        kubeconfig: 'secret: yes\n',
        expiresAtMs: 1,
        kubectlCommand: ['/bin/sh', '-c', script, 'kubectl'],
      };
    },
  });
}

/** An own XDG_RUNTIME_DIR, to see what is left in it. */
function runtimeDir(t: Test): string {
  const dir = path.join(t.testdir(), 'run');
  mkdirSync(dir);
  return dir;
}

void t.test('arguments go to kubectl as they are', async (t) => {
  const endpoint = await nodeWith(t, `printf '%s|' "$@"`);
  const args = ['--help', '-h', 'get', '--endpoint', 'x', '', 'a b', '--', '-o=json', '$HOME', '--version'];
  const { code, stdout, stderr } = await dbg(['kubectl', ...args], { endpoint });
  t.same([code, stdout.toString(), stderr], [0, args.map((arg) => `${arg}|`).join(''), '']);
});

void t.test(
  'the credentials are an administrator’s, for this user, in a file for nobody else, and go away',
  async (t) => {
    const asked: GetDebugKubeconfigRequest[] = [];
    const endpoint = await serveDebugApi(t, {
      async getDebugKubeconfig(request) {
        asked.push(request);
        const script =
          'echo "$KUBECONFIG"; stat -c %a "$KUBECONFIG" "$(dirname "$KUBECONFIG")"; cat "$KUBECONFIG"';
        return { kubeconfig: 'secret: yes\n', expiresAtMs: 1, kubectlCommand: ['/bin/sh', '-c', script] };
      },
    });
    const dir = runtimeDir(t);
    const { code, stdout } = await dbg(['kubectl'], {
      endpoint,
      env: { XDG_RUNTIME_DIR: dir, KUBECONFIG: '/other' },
    });
    const [file = '', ...rest] = stdout.toString().split('\n');
    t.same([code, ...rest], [0, '600', '700', 'secret: yes', '']);
    t.ok(file.startsWith(`${dir}/dbg-`), file);
    t.same(readdirSync(dir), [], 'nothing is left');
    t.same(asked, [{ id: `hamlet:debug:${userInfo().username}`, groups: ['system:masters'], ttlSeconds: 0 }]);

    const elsewhere = await dbg(['kubectl'], { endpoint, env: { XDG_RUNTIME_DIR: '/nonexistent' } });
    const [other = ''] = elsewhere.stdout.toString().split('\n');
    t.match(other, /^\/(dev\/shm|run|tmp)\/dbg-/, 'in memory also without XDG_RUNTIME_DIR');
    t.notOk(existsSync(path.dirname(other)));
  },
);

void t.test('input, output and exit code pass through', async (t) => {
  const endpoint = await nodeWith(t, 'cat; echo problem >&2; exit 7');
  const { code, stdout, stderr } = await dbg(['kubectl'], { endpoint, input: 'some input' });
  t.same([code, stdout.toString(), stderr], [7, 'some input', 'problem\n']);
});

void t.test('an end by signal n is exit code 128 + n', async (t) => {
  for (const [signal, code] of [
    ['TERM', 143],
    ['KILL', 137],
    ['INT', 130],
  ] as const) {
    const endpoint = await nodeWith(t, `kill -${signal} $$`);
    t.equal((await dbg(['kubectl'], { endpoint })).code, code);
  }
});

void t.test('signals reach kubectl, and the credentials go away also then', async (t) => {
  const endpoint = await nodeWith(
    t,
    'for s in TERM HUP INT QUIT; do trap "echo got $s; exit 5" $s; done; echo ready; while :; do sleep 0.05; done',
  );
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT'] as const) {
    const dir = path.join(runtimeDir(t));
    // Detached: without a terminal, as under cron or another program.
    const child = spawn(process.execPath, [dbgFile, 'kubectl'], {
      env: environment({ endpoint, env: { XDG_RUNTIME_DIR: dir } }),
      detached: true,
    });
    const end = ended(child);
    child.stdout.once('data', () => child.kill(signal));
    const { code, stdout } = await end;
    t.same([code, stdout.toString()], [5, `ready\ngot ${signal.slice(3)}\n`], signal);
    t.same(readdirSync(dir), []);
  }
});

void t.test('on a terminal Ctrl-C reaches kubectl once, by the terminal', async (t) => {
  const folder = t.testdir();
  const seen = path.join(folder, 'seen');
  // Not a shell: it would take two signals that come close together for one.
  const script = `
    if (!process.stdin.isTTY || !process.stdout.isTTY) process.exit(9);
    process.on('SIGINT', () => fs.appendFileSync('${seen}', 'INT\\n'));
    process.on('SIGTERM', () => process.exit(6));
    setInterval(() => {}, 1000);
    console.log('ready');`;
  const endpoint = await serveDebugApi(t, {
    async getDebugKubeconfig() {
      return { kubeconfig: '', expiresAtMs: 1, kubectlCommand: [process.execPath, '-e', script] };
    },
  });
  const pidFile = path.join(folder, 'pid');
  const terminal = spawn(
    'script',
    ['-qec', `echo $$ > ${pidFile}; exec ${process.execPath} ${dbgFile} kubectl`, '/dev/null'],
    {
      env: environment({ endpoint }),
    },
  );
  const end = ended(terminal);
  await new Promise((resolve) => terminal.stdout.once('data', resolve));
  // More than once: the kernel, too, takes two signals that come close together for one.
  const presses = 10;
  const count = () => (existsSync(seen) ? readFileSync(seen, 'utf8').length / 'INT\n'.length : 0);
  for (let press = 1; press <= presses; press++) {
    terminal.stdin.write('\x03');
    await poll(() => count() >= press || undefined, { everyMs: 10, timeoutMs: 20_000, what: 'Ctrl-C' });
  }
  process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGTERM');
  t.equal((await end).code, 6);
  t.equal(count(), presses, 'each of them once');
});

void t.test('without the node’s kubectl the one on the PATH is used, with a note', async (t) => {
  const bin = path.join(t.testdir(), 'bin');
  mkdirSync(bin);
  let command: string[] = [];
  const endpoint = await serveDebugApi(t, {
    async getDebugKubeconfig() {
      return { kubeconfig: '', expiresAtMs: 1, kubectlCommand: command };
    },
  });
  const PATH = bin;
  const none = await dbg(['kubectl', 'version'], { endpoint, env: { PATH } });
  t.same(
    [none.code, none.stderr],
    [
      1,
      'dbg: the node has no kubectl; using the one on the PATH\n' +
        'dbg: there is no kubectl on the PATH either; install one\n',
    ],
  );
  writeFileSync(path.join(bin, 'kubectl'), '#!/bin/sh\necho "from the path: $*"\n');
  chmodSync(path.join(bin, 'kubectl'), 0o755);
  command = ['/nonexistent/kube', 'kubectl'];
  const found = await dbg(['kubectl', 'version'], { endpoint, env: { PATH } });
  t.same(
    [found.code, found.stdout.toString(), found.stderr],
    [
      0,
      'from the path: version\n',
      "dbg: the node's kubectl, /nonexistent/kube, is not here; using the one on the PATH\n",
    ],
  );
});

void t.test('what the node says is passed on, and no file is made', async (t) => {
  const endpoint = await serveDebugApi(t, {
    async getDebugKubeconfig() {
      throw new HamletError('UNAVAILABLE', 'there is no PKI yet: waiting for etcd');
    },
  });
  const dir = runtimeDir(t);
  const { code, stderr } = await dbg(['kubectl', 'get', 'pods'], { endpoint, env: { XDG_RUNTIME_DIR: dir } });
  t.same([code, stderr], [1, 'dbg: there is no PKI yet: waiting for etcd\n']);
  t.same(readdirSync(dir), []);
});

void t.test('a closed output ends kubectl, not dbg’s care for the credentials', async (t) => {
  const endpoint = await nodeWith(t, 'while echo line; do :; done 2>/dev/null; exit 3');
  const dir = runtimeDir(t);
  const child = startDbg(['kubectl'], { endpoint, env: { XDG_RUNTIME_DIR: dir } });
  const end = ended(child);
  await new Promise((resolve) => child.stdout.once('data', resolve));
  t.equal(statSync(dir).isDirectory() && readdirSync(dir).length, 1, 'there while kubectl runs');
  child.stdout.destroy();
  const { code } = await end;
  t.ok(code === 3 || code === 141, `exit code ${code}`);
  t.same(readdirSync(dir), []);
});
