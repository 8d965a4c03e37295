import path from 'node:path';
import t from 'tap';
import { testImage, writeTestImage } from '../node/support/image.js';
import { Machine, fetchPackages } from './machine.js';
import { checkKill, checkNothingLeft, checkOrder, checkStart, checkUpgrade, namesOf } from './checks.js';

const program = '/lib/systemd/systemd';
const units = '/etc/systemd/system';
const { skip, packages } = await fetchPackages(t, [
  'systemd',
  'libsystemd-shared',
  'libapparmor1',
  'libcryptsetup12',
  'libfdisk1',
  'libip4tc2',
  'libkmod2',
]);

/** Of Debian's own units those that would change the machine itself, or find nothing to do in a namespace. */
const masked = ['sysctl', 'modules-load', 'udevd', 'udev-trigger', 'binfmt', 'remount-fs', 'logind'];

/** Short, so that the test is. */
const settings = '[Service]\nWatchdogSec=10\nTimeoutStopSec=10\n';

const pod = JSON.stringify({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'sleeper' },
  spec: {
    terminationGracePeriodSeconds: 0,
    containers: [{ name: 'main', image: testImage, imagePullPolicy: 'Never', command: ['sleep', '100000'] }],
  },
});

void t.test('systemd', { skip }, async (t) => {
  const image = path.join(t.testdir({}), 'busybox.tar');
  writeTestImage(image);
  await using machine = await Machine.start({
    init: [program, '--log-target=journal', '--unit=multi-user.target'],
    packages,
    // As systemd's container interface has it; else it would set up devices and the console.
    env: { container: 'test' },
    empty: [units, '/usr/lib/systemd/system-generators'],
    files: {
      [`${units}/hamlet.service`]: { copyOf: 'init/systemd/hamlet.service' },
      [`${units}/hamlet.service.d/test.conf`]: { text: settings },
      // An empty unit file is a masked one.
      ...Object.fromEntries(masked.map((name) => [`${units}/systemd-${name}.service`, { text: '' }])),
      '/var/lib/hamlet/images/busybox.tar': { copyOf: image },
      '/etc/hamlet/pod.json': { text: pod },
    },
  });
  const systemctl = (...words: string[]) => machine.output(['systemctl', ...words]);
  const show = async (property: string) =>
    (await systemctl('show', 'hamlet', '--value', '--property', property)).trim();
  const mainPid = async () => Number(await show('MainPID'));
  const journal = () => machine.output(['journalctl', '--unit=hamlet', '--output=cat']);
  const isActive = () =>
    machine.waitFor('an active service', async () => (await show('ActiveState')) === 'active' || undefined);
  const kubectl = async (...words: string[]) => {
    const { code, stdout, stderr } = await machine.dbg(['kubectl', ...words]);
    if (code !== 0) throw new Error(stderr + stdout);
    return stdout;
  };
  const podFacts = () => kubectl('get', 'pod', 'sleeper', '-o', 'jsonpath={.status.containerStatuses[0]}');

  await machine.waitFor('a started system', async () => {
    const { stdout } = await machine.run(['systemctl', 'is-system-running']);
    return /running|degraded/.test(stdout) || undefined;
  });
  t.comment((await systemctl('--version')).split('\n')[0]);
  const namesOfTheHost = await namesOf(machine);

  await t.test('it is started when the node is ready, and says until then what it waits for', async (t) => {
    await systemctl('enable', 'hamlet');
    await systemctl('start', '--no-block', 'hamlet');
    await machine.waitFor(
      'a status line',
      async () =>
        /waits for .*NodeReady/.test(await systemctl('status', 'hamlet').catch(String)) || undefined,
    );
    t.equal(await show('ActiveState'), 'activating');
    await isActive();
    t.equal((await machine.dbg(['condition', 'NodeReady'])).code, 0);
    await machine.waitFor(
      'a calm status line',
      async () => (await show('StatusText')) === 'the node is ready' || undefined,
    );
    await checkStart(t, machine, journal);
  });

  await t.test('systemd has no limits of its own, and leaves the cgroups below to the node', async (t) => {
    t.equal(await show('TasksMax'), 'infinity');
    t.equal(await show('Delegate'), 'yes');
    t.match(machine.read(`/proc/${await mainPid()}/cgroup`), /system\.slice\/hamlet\.service$/m);
  });

  await kubectl('create', '-f', '/etc/hamlet/pod.json');
  await machine.waitFor('a running pod', async () => (await podFacts()).includes('"running"') || undefined);
  const podBefore = await podFacts();

  await t.test('a reload puts a new version in place, which systemd watches from then on', async (t) => {
    const before = await mainPid();
    await checkUpgrade(t, machine, () => systemctl('reload', 'hamlet'));
    t.equal(await mainPid(), await machine.hamletPid());
    await machine.waitFor(
      'the end of the old version',
      () => machine.read(`/proc/${before}/comm`) === undefined || undefined,
    );
    t.equal(await show('NRestarts'), '0');
  });

  await t.test('killed, it is started again and goes on with what runs', async (t) => {
    await checkKill(t, machine);
    t.equal(await show('NRestarts'), '1');
    t.equal(await podFacts(), podBefore);
  });

  await t.test('a main thread that stands still is noticed by the watchdog', async (t) => {
    const running = machine.running();
    const before = await mainPid();
    await machine.kill(before, 'STOP');
    await machine.hamletPid(before);
    await isActive();
    t.match(await journal(), /[Ww]atchdog timeout/);
    t.equal(await show('NRestarts'), '2');
    t.same(machine.running(), running);
    t.equal(await podFacts(), podBefore);
  });

  await t.test('it stops in order, and leaves the containers alone', async (t) => {
    await systemctl('stop', 'hamlet');
    t.equal(await show('Result'), 'success');
    checkOrder(t, await journal());
    checkNothingLeft(t, machine);
    t.ok(machine.runs('sleep'), 'the pod goes on');
    await systemctl('start', 'hamlet');
    t.equal(await podFacts(), podBefore);
  });

  await t.test('one that hangs while it stops is killed in the end', async (t) => {
    const pid = await mainPid();
    await systemctl('stop', '--no-block', 'hamlet');
    await machine.kill(pid, 'STOP');
    await machine.waitFor('its end', async () => (await show('ActiveState')) === 'failed' || undefined);
    t.equal(await show('Result'), 'timeout');
    t.equal(machine.read(`/proc/${pid}/comm`), undefined);
    await systemctl('start', 'hamlet');
    await machine.ready();
    t.equal(await podFacts(), podBefore);
  });

  await t.test("the host's names are its own", async (t) => {
    t.equal(await namesOf(machine), namesOfTheHost);
  });

  await t.test('the machine goes down with it', async (t) => {
    // A container that heeds no SIGTERM holds it up for systemd's 90 seconds.
    await kubectl('delete', 'pod', 'sleeper');
    await machine.waitFor('the end of the pod', () => !machine.runs('containerd-shim') || undefined);
    const follow = (root: string) => [
      ...['journalctl', `--directory=${root}/run/log/journal`],
      ...['--unit=hamlet', '--output=cat', '--lines=all', '--follow'],
    ];
    const last = /hamlet\.service: Deactivated successfully[^]*etcd +stopped[^]*hamlet\.service: Deactivated/;
    const words = await machine.lastWords(follow, ['systemctl', 'poweroff'], last);
    checkOrder(t, words);
  });
});
