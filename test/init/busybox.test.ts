import t from 'tap';
import { checkKill, checkOrder, checkStart, checkUpgrade, lastWords, namesOf } from './checks.js';
import { Machine, fetchPackages } from './machine.js';

const { skip, packages } = await fetchPackages(t, ['busybox-static']);

void t.test('BusyBox init', { skip }, async (t) => {
  await using machine = await Machine.start({
    init: ['/bin/busybox', 'init'],
    packages,
    files: { '/etc/inittab': { copyOf: 'init/inittab/inittab' } },
  });
  const names = await namesOf(machine);

  await t.test('it starts the node', (t) =>
    checkStart(t, machine, () => machine.read('/var/log/hamlet.log')),
  );

  await t.test('killed, it is started again and goes on with what runs', (t) => checkKill(t, machine));

  await t.test('hamlet upgrade puts a new version in place', async (t) => {
    await checkUpgrade(t, machine, async () => t.match(await machine.hamlet(['upgrade']), { code: 0 }));
    t.equal(await namesOf(machine), names, "the host's names are its own");
  });

  await t.test('the machine goes down when it has stopped in order', async (t) => {
    checkOrder(t, await lastWords(machine, '/var/log/hamlet.log', ['/bin/busybox', 'poweroff']));
  });
});
