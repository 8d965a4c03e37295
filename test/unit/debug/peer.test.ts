import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import path from 'node:path';
import t from 'tap';
import { groupId, processOf, roleOf, tcpPeers, userOf } from '../../../src/workers/debug/peer.js';

void t.test('roles follow users and groups', async (t) => {
  const folder = t.testdir({
    passwd:
      'root:x:0:0::/root:/bin/sh\nann:x:1001:1001::/:/bin/sh\nbob:x:1002:77::/:/bin/sh\ncy:x:1003:1003::/:/bin/sh\n',
    group: 'root:x:0:\nhamlet:x:77:ann,dan\nhamlet-read:x:78:cy\nother:x:79:cy\n',
  });
  const files = { passwd: path.join(folder, 'passwd'), group: path.join(folder, 'group') };
  for (const [uid, role] of [
    [0, 'admin'],
    [1001, 'admin'],
    [1002, 'admin'],
    [1003, 'read'],
    [1004, 'none'],
    [65_534, 'none'],
  ] as const) {
    // Whoever runs the tests may do everything.
    if (uid !== process.geteuid?.()) t.equal(roleOf(uid, files), role, `user ${uid}`);
  }
  t.equal(groupId('hamlet', files.group), 77);
  t.equal(groupId('nosuch', files.group), undefined);
});

void t.test('the other ends of TCP connections are known by their users and processes', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const asRoot = process.geteuid?.() === 0;
  const script = `require('net').connect(${port}, '127.0.0.1').on('close', () => process.exit())`;
  const connectAs = async (options: { readonly uid?: number; readonly gid?: number }) => {
    const connected = once(server, 'connection') as Promise<[Socket]>;
    const child = spawn(process.execPath, ['-e', script], options);
    t.teardown(() => child.kill());
    const [socket] = await connected;
    t.teardown(() => socket.destroy());
    return { child, socket };
  };
  const own = await connectAs({});
  const other = await connectAs(asRoot ? { uid: 65_534, gid: 65_534 } : {});
  const sockets = [own.socket, other.socket];
  const [ownPeer, otherPeer] = tcpPeers(sockets);
  t.match(ownPeer, { uid: process.geteuid?.(), role: 'admin' });
  t.equal(otherPeer?.uid, asRoot ? 65_534 : process.geteuid?.());
  t.equal(otherPeer?.role, asRoot ? 'none' : 'admin');
  t.match(processOf(ownPeer?.remoteInode ?? 0), { pid: own.child.pid, uid: ownPeer?.uid });
  t.match(processOf(otherPeer?.remoteInode ?? 0), { pid: other.child.pid, uid: otherPeer?.uid });

  // The kernel shows the rest of a connection without an owner as root's.
  const exited = once(other.child, 'exit');
  other.child.kill('SIGKILL');
  await exited;
  t.match(tcpPeers(sockets), [{ role: 'admin' }, { uid: undefined, role: 'none' }]);
});

void t.test('a process is its user’s, also where its folder in /proc is root’s', async (t) => {
  t.equal(userOf(process.pid), process.geteuid?.());
  const other = process.geteuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  // A program that its user may not read: the kernel gives them no way to look into it either.
  const program = path.join(t.testdir(), 'sleep');
  copyFileSync('/bin/sleep', program);
  chmodSync(program, 0o711);
  const child = spawn(program, ['60'], other);
  t.teardown(() => child.kill());
  await once(child, 'spawn');
  const exited = once(child, 'exit');
  t.equal(userOf(child.pid ?? 0), other.uid ?? process.geteuid?.());
  child.kill('SIGKILL');
  await exited;
  t.equal(userOf(child.pid ?? 0), undefined, 'one that has gone is nobody’s');
});
