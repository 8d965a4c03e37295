import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { poll } from '../../src/lib/time.js';
import { containerdSocket, runPaths } from '../../src/platform/paths.js';
import { imageArchive } from '../../src/provision/image-archive.js';
import { writeConfiguration, type Context } from '../../src/workers/kubelet/component.js';
import { containerd } from '../../src/workers/kubelet/components/containerd.js';
import { callCri, imageTags, notReady } from '../../src/workers/kubelet/cri.js';
import { ImageImporter } from '../../src/workers/kubelet/images.js';
import { probeGrpc } from '../../src/workers/kubelet/probes.js';
import { ComponentProcess, contextHere, never } from './component-process.js';
import { run } from './support/hamlet.js';

/** An image with nothing but one small file, so that each is another one. */
const archive = (ref: string) =>
  imageArchive(ref, { Cmd: ['/none'] }, [{ type: 'file', name: 'ref', mode: 0o644, data: Buffer.from(ref) }]);

async function startContainerd(t: Test, context = contextHere(t)) {
  const process = new ComponentProcess(t, containerd(context));
  await process.start();
  await process.healthy();
  return { context, process };
}

async function ctr(context: Context, ...args: readonly string[]): Promise<string> {
  const words = ['-a', containerdSocket(context.config.paths.run), '-n', 'k8s.io', ...args];
  const { code, stdout, stderr } = await run(context.components.ctr, words);
  if (code !== 0) throw new Error(stderr);
  return stdout;
}

/** What CRI says that the images are called. */
async function tagsOf(context: Context, signal = never): Promise<string[]> {
  return imageTags(
    await callCri(containerdSocket(context.config.paths.run), 'ImageService/ListImages', signal),
  );
}

/** What the images are called; each has its digest as another name. */
async function imageNames(context: Context): Promise<string[]> {
  const names = (await ctr(context, 'images', 'ls', '-q')).trim().split('\n');
  return names.filter((name) => !name.startsWith('sha256:'));
}

function startImporter(t: Test, context: Context) {
  const { imagesDir } = context.config;
  mkdirSync(imagesDir);
  const logged: { level: number; msg: string; reason?: string }[] = [];
  const log = pino(
    {},
    { write: (line: string) => void logged.push(JSON.parse(line) as (typeof logged)[number]) },
  );
  const stop = new AbortController();
  t.teardown(() => stop.abort());
  const images = new ImageImporter(
    context,
    async ([file, ...args]) => {
      const { code, stdout, stderr } = await run(file, args);
      return { code, output: stdout + stderr };
    },
    (signal) => tagsOf(context, signal),
    log,
  );
  const start = async () => {
    images.start(stop.signal);
    await images.imported(never);
  };
  /** Waits until containerd has an image. */
  const imported = (ref: string) =>
    poll(async () => (await imageNames(context)).includes(ref) || undefined, {
      everyMs: 50,
      timeoutMs: 20_000,
      what: `image ${ref}`,
    });
  const errors = () => logged.filter(({ level }) => level >= 50);
  return { start, imported, errors, folder: imagesDir };
}

void t.test('containerd takes every setting of its configuration', async (t) => {
  for (const mayRaiseLimits of [true, false]) {
    const here = contextHere(t);
    const context = {
      ...here,
      machine: { ...here.machine, mayRaiseLimits, cgroupDriver: 'systemd' as const },
    };
    const component = containerd(context);
    await component.prepare(never, (_what, until) => until);
    const command = component.command();
    writeConfiguration(command);
    const [file, ...args] = command.argv;
    const { code, stdout, stderr } = await run(file, [...args, 'config', 'dump']);
    t.equal(code, 0, stderr);
    t.notMatch(stderr, /unknown|invalid|deprecated/i);
    const { paths } = context.config;
    for (const setting of [
      `root = "${paths.containerd}"`,
      `state = "${runPaths(paths.run).containerd}/state"`,
      `address = "${containerdSocket(paths.run)}"`,
      'sandbox_image = "hamlet.test/pause:1"',
      `restrict_oom_score_adj = ${!mayRaiseLimits}`,
      'SystemdCgroup = true',
      `BinaryName = "${context.components.runc}"`,
      `conf_dir = "${paths.cni}/net.d"`,
      'bin_dir = "/usr/lib/cni"',
    ]) {
      t.ok(stdout.includes(setting), setting);
    }
  }
});

void t.test('its probe answers by CRI, and tells when it hangs or is gone', async (t) => {
  const context = contextHere(t);
  const process = new ComponentProcess(t, containerd(context));
  t.match(await process.probe(), /no answer: .*ENOENT/, 'before its start');
  await process.start();
  await process.healthy();
  const socket = containerdSocket(context.config.paths.run);
  const status = await probeGrpc(socket, '/runtime.v1.RuntimeService/Status', never);
  t.equal(notReady(status, 'RuntimeReady'), undefined);
  t.equal(notReady(status, 'NetworkReady'), undefined, 'it has found the network configuration');
  t.match(notReady(status, 'NoSuchCondition'), /has no NoSuchCondition/);
  await t.rejects(probeGrpc(socket, '/runtime.v1.RuntimeService/NoSuchMethod', never), {
    code: 'UNAVAILABLE',
    message: /status 12: unknown method NoSuchMethod/,
  });

  await process.suspend();
  t.equal(await process.probe(300), 'no answer: not within 300 ms');
  process.signal('SIGCONT');
  t.equal(await process.probe(), undefined);
  await process.end('SIGKILL');
  t.match(await process.probe(), /no answer: .*ECONNREFUSED/);
  await process.start();
  await process.healthy();
});

void t.test('a runtime without a network says so', async (t) => {
  const context = contextHere(t);
  const { process } = await startContainerd(t, context);
  rmSync(path.join(context.config.paths.cni, 'net.d', '10-hamlet.conflist'));
  const why = await poll(
    async () => {
      const status = await probeGrpc(
        containerdSocket(context.config.paths.run),
        '/runtime.v1.RuntimeService/Status',
        never,
      );
      return notReady(status, 'NetworkReady');
    },
    { everyMs: 50, timeoutMs: 10_000, what: 'the condition' },
  );
  t.match(why, /^NetworkReady is false: NetworkPluginNotReady .*cni/);
  t.equal(await process.probe(), undefined, 'which is no reason to restart it');
});

void t.test(
  'archives are imported at the start, when they are added, and when they are replaced',
  async (t) => {
    const { context } = await startContainerd(t);
    const { start, imported, errors, folder } = startImporter(t, context);
    const file = (name: string) => path.join(folder, name);
    writeFileSync(context.components.pauseImage.archive, archive('hamlet.test/pause:1'));
    writeFileSync(file('a.tar'), archive('hamlet.test/a:1'));
    await start();
    t.same(await imageNames(context), ['hamlet.test/a:1', 'hamlet.test/pause:1'], 'before anybody goes on');
    writeFileSync(file('b.tar'), archive('hamlet.test/b:1'));
    await imported('hamlet.test/b:1');
    writeFileSync(file('a.tar'), archive('hamlet.test/a:2'));
    await imported('hamlet.test/a:2');
    t.same(errors(), []);
    const hasPause = async () => (await tagsOf(context)).includes('hamlet.test/pause:1') || undefined;
    await poll(hasPause, { everyMs: 50, timeoutMs: 20_000, what: 'the pause image in the list of CRI' });
    rmSync(context.components.pauseImage.archive);
  },
);

void t.test('a broken archive is named in the log and does not stop the others', async (t) => {
  const { context } = await startContainerd(t);
  const { start, imported, errors, folder } = startImporter(t, context);
  const whole = archive('hamlet.test/c:1');
  writeFileSync(path.join(folder, 'broken.tar'), whole.subarray(0, whole.length / 2));
  writeFileSync(path.join(folder, 'other.tar'), 'this is no archive');
  writeFileSync(path.join(folder, 'z.tar'), archive('hamlet.test/z:1'));
  await start();
  await imported('hamlet.test/z:1');
  t.match(errors(), [{ msg: /broken\.tar was not imported/ }, { msg: /other\.tar was not imported/ }]);
  for (const { reason } of errors()) t.match(reason, /^ctr: \S/, 'with what ctr says');
  t.equal(errors().length, 2);

  // The other half comes at last.
  appendFileSync(path.join(folder, 'broken.tar'), whole.subarray(whole.length / 2));
  t.ok(readFileSync(path.join(folder, 'broken.tar')).equals(whole));
  await imported('hamlet.test/c:1');
});
