// The house rule: imports point from the later rooms of this list to the earlier ones, and a room is entered through its index.ts (mesh and platform have several).
const rooms = ['protocol', 'mesh', 'platform', 'dataplane', 'controlplane', 'node', 'cluster', 'migration', 'console', 'cli'];
const may = {
  protocol: [],
  mesh: ['protocol'],
  platform: ['protocol', 'mesh'],
  dataplane: ['protocol', 'mesh', 'platform'],
  controlplane: ['protocol', 'mesh', 'platform'],
  node: ['protocol', 'mesh', 'platform'],
  cluster: ['protocol', 'mesh', 'platform'],
  migration: ['mesh', 'platform'],
  console: ['mesh', 'platform'],
  cli: rooms,
};
const other = (room) => rooms.filter((name) => name !== room && !may[room].includes(name)).join('|');
module.exports = {
  forbidden: [
    ...rooms
      .filter((room) => other(room) !== '')
      .map((room) => ({
        name: `${room}-looks-up`,
        severity: 'error',
        from: { path: `^src/${room}/` },
        to: { path: `^src/(${other(room)})/` },
      })),
    ...rooms
      .filter((room) => room !== 'platform' && room !== 'mesh')
      .map((room) => ({
        name: `through-the-door-of-${room}`,
        severity: 'error',
        from: { path: '^src/', pathNot: `^src/${room}/` },
        to: {
          path: `^src/${room}/`,
          pathNot:
            room === 'dataplane'
              ? '^src/dataplane/[^/]+/index[.]ts$'
              : `^src/${room}/(${room === 'protocol' ? 'messages/' : ''})?index[.]ts$`,
        },
      })),
    {
      name: 'through-a-door-of-mesh',
      comment:
        'what only waypoints (http), the control plane (compile), a local configuration (local) or a DNS proxy (dns) need stands behind doors of its own',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/mesh/' },
      to: { path: '^src/mesh/', pathNot: '^src/mesh/((http|compile|local|dns)/)?index[.]ts$' },
    },
    {
      name: 'proxies-do-not-compile',
      comment: 'a proxy loads what it executes: plans are compiled by the control plane',
      severity: 'error',
      from: { path: '^src/dataplane/' },
      to: { path: '^src/mesh/compile/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'proxies-without-a-library-for-messages',
      comment: 'proxies and the node agent read and write their dozen messages with generated tables: 4 MiB each',
      severity: 'error',
      from: { path: '^src/(dataplane|node)/', pathNot: '[.]test[.]ts$' },
      to: { path: '^(src/protocol/messages/|node_modules/@(bufbuild|grpc)/)', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'node-proxy-without-http',
      comment: 'ztunnel has no routes',
      severity: 'error',
      from: { path: '^src/dataplane/(core|ztunnel)/' },
      to: { path: '^src/mesh/http/', dependencyTypesNot: ['type-only'] },
    },
    ...['linux', 'net', 'kubernetes', 'telemetry', 'capture'].map((part) => ({
      name: `through-the-door-of-platform-${part}`,
      severity: 'error',
      from: { path: '^src/', pathNot: `^src/platform/${part}/` },
      to: { path: `^src/platform/${part}/`, pathNot: `^src/platform/${part}/(kinds/)?index[.]ts$` },
    })),
    {
      name: 'pure-rooms',
      comment: 'protocol and mesh have no outside world',
      severity: 'error',
      from: { path: '^src/(protocol|mesh)/', pathNot: '[.]test[.]ts$' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'pure-rooms-no-bun',
      severity: 'error',
      from: { path: '^src/(protocol|mesh)/', pathNot: '[.]test[.]ts$' },
      to: { path: '^bun(:|$)' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    exclude: { path: '[.]test[.]ts$' },
    enhancedResolveOptions: { extensions: ['.ts', '.tsx', '.js'] },
  },
};
