import t from 'tap';
import {
  checkKill,
  checkNothingLeft,
  checkOrder,
  checkStart,
  checkUpgrade,
  lastWords,
  namesOf,
} from './checks.js';
import { Machine, fetchPackages } from './machine.js';

const { skip, packages } = await fetchPackages(t, ['openrc', 'librc1', 'libeinfo1']);

void t.test('OpenRC', { skip }, async (t) => {
  await using machine = await Machine.start({
    init: ['/sbin/openrc-init'],
    packages,
    // The machine's own services and System V scripts.
    empty: ['/etc/init.d', ...['sysinit', 'boot', 'default'].map((level) => `/etc/runlevels/${level}`)],
    files: { '/etc/init.d/hamlet': { copyOf: 'init/openrc/hamlet' } },
  });
  const log = () => machine.read('/var/log/hamlet.log');
  const service = (word: string) => machine.output(['rc-service', 'hamlet', word]);
  await machine.waitFor('the default runlevel', async () => {
    const { stdout } = await machine.run(['rc-status', '--runlevel']);
    return stdout.trim() === 'default' || undefined;
  });
  t.comment((await machine.output(['openrc', '--version'])).trim());
  const names = await namesOf(machine);

  await t.test('rc-service starts it', async (t) => {
    await machine.output(['rc-update', 'add', 'hamlet', 'default']);
    t.comment(await service('start'));
    await checkStart(t, machine, log);
  });

  await t.test('killed, it is started again and goes on with what runs', (t) => checkKill(t, machine));

  await t.test('rc-service upgrade puts a new version in place', async (t) => {
    await checkUpgrade(t, machine, () => service('upgrade'));
    t.match(await service('status'), /started/);
  });

  await t.test('rc-service stop stops it in order', async (t) => {
    await service('stop');
    checkOrder(t, log());
    checkNothingLeft(t, machine);
    t.equal(await namesOf(machine), names, "the host's names are its own");
  });

  await t.test('the machine goes down with it', async (t) => {
    await service('start');
    await machine.ready();
    checkOrder(t, await lastWords(machine, '/var/log/hamlet.log', ['openrc-shutdown', '--poweroff', 'now']));
  });
});
