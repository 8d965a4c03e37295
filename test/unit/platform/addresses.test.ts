import { BlockList } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import { addressAt, contains, firstAddress, isRange, overlap } from '../../../src/platform/addresses.js';

void t.test('the first address of a range is the one after its own', async (t) => {
  t.equal(firstAddress('10.96.0.0/16'), '10.96.0.1');
  t.equal(firstAddress('10.96.7.9/16'), '10.96.0.1', 'an address within it names the same range');
  t.equal(firstAddress('255.255.255.252/30'), '255.255.255.253');
  t.equal(firstAddress('0.0.0.0/0'), '0.0.0.1');
  t.equal(addressAt('10.96.0.0/12', 300), '10.96.1.44');
});

void t.test('a range is named by its own address', async (t) => {
  for (const range of ['10.96.0.0/16', '0.0.0.0/0', '10.0.0.1/32', '192.168.4.0/22'])
    t.ok(isRange(range), range);
  const others = [
    '',
    '10.96.0.0',
    '10.96.0.1/16',
    '10.96.0.0/33',
    '10.96.0/16',
    '10.256.0.0/16',
    '010.0.0.0/8',
    'x/8',
  ];
  for (const text of [...others, '10.96.0.0/16 ', 'fd00::/8', '10.96.0.0/1e1']) t.notOk(isRange(text), text);
});

void t.test('ranges overlap when one holds the other', async (t) => {
  t.ok(overlap('10.96.0.0/16', '10.96.4.0/24'));
  t.ok(overlap('10.96.4.0/24', '10.96.0.0/16'));
  t.ok(overlap('0.0.0.0/0', '255.255.255.255/32'));
  t.notOk(overlap('10.96.0.0/16', '10.97.0.0/16'));
  t.notOk(overlap('10.244.0.0/24', '10.244.1.0/24'));
});

void t.test('an address lies in a range when node:net says so', async () => {
  const byte = fc.integer({ min: 0, max: 255 });
  const address = fc.tuple(byte, byte, byte, byte).map((parts) => parts.join('.'));
  fc.assert(
    fc.property(
      address,
      fc.integer({ min: 0, max: 32 }),
      address,
      fc.boolean(),
      (net, prefix, other, near) => {
        const list = new BlockList();
        list.addSubnet(net, prefix, 'ipv4');
        // Two at random are hardly ever near each other.
        const asked = near ? [...net.split('.').slice(0, 3), other.split('.')[3]].join('.') : other;
        return contains(`${net}/${prefix}`, asked) === list.check(asked, 'ipv4');
      },
    ),
  );
});
