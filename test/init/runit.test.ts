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

const { skip, packages } = await fetchPackages(t, ['runit', 'runit-init']);

void t.test('runit', { skip }, async (t) => {
  await using machine = await Machine.start({
    init: ['/sbin/init'],
    packages,
    // The machine's own services and System V scripts.
    empty: ['/etc/runit/runsvdir/default', '/etc/rcS.d', '/etc/rc0.d', '/etc/rc2.d'],
    files: {
      '/etc/sv/hamlet/run': { copyOf: 'init/runit/hamlet/run' },
      '/etc/sv/hamlet/log/run': { copyOf: 'init/runit/hamlet/log/run' },
    },
  });
  const log = () => machine.read('/var/log/hamlet/current');
  await machine.waitFor('the second stage', () => machine.runs('runsvdir') || undefined);
  const names = await namesOf(machine);

  await t.test('it starts when it is linked into the folder of services', async (t) => {
    await machine.output(['ln', '-s', '/etc/sv/hamlet', '/etc/service/hamlet']);
    await checkStart(t, machine, log);
  });

  await t.test('killed, it is started again and goes on with what runs', (t) => checkKill(t, machine));

  await t.test('sv hup puts a new version in place', async (t) => {
    const pid = await machine.hamletPid();
    await checkUpgrade(t, machine, () => machine.output(['sv', 'hup', 'hamlet']));
    const status = await machine.output(['sv', 'status', 'hamlet']);
    t.match(status, `run: hamlet: (pid ${pid})`, 'the first process hands signals on');
  });

  await t.test('sv down stops it in order', async (t) => {
    await machine.output(['sv', '-w', '180', 'down', 'hamlet']);
    checkOrder(t, log());
    checkNothingLeft(t, machine);
    t.equal(await namesOf(machine), names, "the host's names are its own");
  });

  await t.test('the machine goes down with it', async (t) => {
    await machine.output(['sv', 'up', 'hamlet']);
    await machine.ready();
    checkOrder(t, await lastWords(machine, '/var/log/hamlet/current', ['init', '0']));
  });
});
