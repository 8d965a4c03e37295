import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { nameAppliance } from '../../../src/host/appliance.js';

const id = '0123456789abcdef'.repeat(4);
const node = { id, name: `hamlet-${id.slice(0, 32)}`, address: '192.0.2.7' };

void t.test('an appliance gets the names of its node', (t) => {
  const etc = t.testdir({ 'machine-id': 'uninitialized\n', usr: { 'os-release': 'ID=image\n' } });
  symlinkSync('usr/os-release', path.join(etc, 'os-release'));
  const hostnameFile = path.join(etc, 'kernel');
  const read = (name: string) => readFileSync(path.join(etc, name), 'utf8');

  t.same(nameAppliance({ etc, node, version: '1.2.3', hostnameFile }), []);
  t.match(read('machine-id'), /^[0-9a-f]{32}\n$/);
  t.ok(node.name.endsWith(read('machine-id').trim()), 'as in the name of the node');
  t.equal(read('os-release'), 'NAME=Hamlet\nID=hamlet\nVERSION_ID=1.2.3\nPRETTY_NAME="Hamlet 1.2.3"\n');
  t.equal(read('hostname'), `${node.name}\n`);
  t.equal(read('kernel'), node.name);
  t.equal(
    read('hosts'),
    `127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n192.0.2.7 ${node.name}\n`,
  );
  t.notOk(lstatSync(path.join(etc, 'os-release')).isSymbolicLink());
  t.equal(read('usr/os-release'), 'ID=image\n', "the image's own file is as it was");
  t.end();
});

void t.test('what is right is not written again, and what has changed is', (t) => {
  const etc = t.testdir({});
  const hostnameFile = path.join(etc, 'kernel');
  const names = ['machine-id', 'os-release', 'hostname', 'hosts'];
  const inodes = () => names.map((name) => statSync(path.join(etc, name)).ino);
  nameAppliance({ etc, node, hostnameFile });
  const before = inodes();
  nameAppliance({ etc, node, hostnameFile });
  t.same(inodes(), before);
  nameAppliance({ etc, node: { ...node, address: '192.0.2.8' }, hostnameFile });
  t.same(
    inodes().map((inode, index) => inode !== before[index]),
    [false, false, false, true],
  );
  const { version } = JSON.parse(
    readFileSync(new URL('../../../../package.json', import.meta.url), 'utf8'),
  ) as { version: string };
  t.match(
    readFileSync(path.join(etc, 'os-release'), 'utf8'),
    `VERSION_ID=${version}\n`,
    "the build's version",
  );
  t.end();
});

void t.test('what cannot be written is named, and the rest is written', (t) => {
  const etc = t.testdir({});
  mkdirSync(path.join(etc, 'hosts'));
  writeFileSync(path.join(etc, 'hosts', 'in-the-way'), '');
  const problems = nameAppliance({ etc, node, hostnameFile: path.join(etc, 'kernel') });
  t.match(problems, [/hosts cannot be written/]);
  t.equal(problems.length, 1);
  t.ok(existsSync(path.join(etc, 'machine-id')));
  t.end();
});
