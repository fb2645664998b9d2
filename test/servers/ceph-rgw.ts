/**
 * A real S3 server of the test's own: Ceph's RGW with one monitor and one memory-backed OSD, on loopback, gone with the test.
 * Needs the Debian packages radosgw, ceph-mon, ceph-osd and ceph-common; up in a few seconds.
 */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { freePorts } from './free-port.ts'
import { type Guarded, removeFolder, startGuarded } from './guard.ts'

const run = promisify(execFile)

export type S3Server = {
  /** http://127.0.0.1:port */
  endpoint: string
  accessKey: string
  secretKey: string
  region: string
  stop(): Promise<void>
}

const PROGRAMS = ['radosgw', 'radosgw-admin', 'ceph-mon', 'ceph-osd', 'ceph', 'ceph-authtool', 'monmaptool']

/** Why no S3 server can be had here, or undefined if one can. */
export function missingS3(): string | undefined {
  if (process.env.WRIT_TEST_S3_URL) return undefined
  const folders = (process.env.PATH ?? '').split(':')
  const missing = PROGRAMS.filter((program) => !folders.some((folder) => existsSync(path.join(folder, program))))
  return missing.length === 0 ? undefined : `not installed: ${missing.join(', ')}; and no WRIT_TEST_S3_URL`
}

/**
 * Starts an own RGW, or takes WRIT_TEST_S3_URL (`http://access:secret@host:port/?region=us-east-1`).
 * @throws Error when it cannot be had or does not start; with what the failing program said
 */
export async function startS3(): Promise<S3Server> {
  const given = process.env.WRIT_TEST_S3_URL
  if (given) {
    const url = new URL(given)
    const region = url.searchParams.get('region') ?? 'us-east-1'
    const keys = { accessKey: decodeURIComponent(url.username), secretKey: decodeURIComponent(url.password) }
    return { endpoint: url.origin, ...keys, region, stop: async () => {} }
  }
  const missing = missingS3()
  if (missing) throw new Error(missing)
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-rgw-'))
  const started: Guarded[] = []
  const stop = async () => {
    for (const server of started.reverse()) await server.stop()
    removeFolder(folder)
  }
  const start = async (command: string, ...args: string[]) => {
    const server = await startGuarded({ command, args: ['-c', `${folder}/ceph.conf`, '-f', ...args], folder })
    started.push(server)
    return server
  }
  try {
    const keys = { accessKey: 'AKWRITTEST', secretKey: 'writ-test-secret' }
    const port = await startCluster(folder, start)
    // Making a user goes straight to the cluster; the gateway reads it when the first request comes.
    const user = ['user', 'create', '--uid=writ', '--display-name=writ', `--access-key=${keys.accessKey}`]
    await run('radosgw-admin', ['-c', `${folder}/ceph.conf`, ...user, `--secret-key=${keys.secretKey}`])
    return { endpoint: `http://127.0.0.1:${port}`, ...keys, region: 'us-east-1', stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Monitor, then OSD, then gateway; each needs the one before. Returns the gateway's port. */
async function startCluster(
  folder: string,
  start: (command: string, ...args: string[]) => Promise<Guarded>,
): Promise<number> {
  const [v2, v1, port] = await freePorts(3)
  const fsid = randomUUID()
  const osd = randomUUID()
  const at = (...parts: string[]) => path.join(folder, ...parts)
  const conf = ['-c', at('ceph.conf')]
  await Promise.all(['mon.a', 'osd.0', 'rgw', 'run', 'log'].map((name) => mkdir(at(name))))
  await writeFile(at('ceph.conf'), cephConf(folder, fsid, v2!, v1!, port!))
  const keyring = (...args: string[]) => run('ceph-authtool', [at('keyring'), '--gen-key', ...args])
  await keyring('--create-keyring', '-n', 'mon.', '--cap', 'mon', 'allow *')
  await keyring('-n', 'client.admin', '--cap', 'mon', 'allow *', '--cap', 'osd', 'allow *', '--cap', 'mgr', 'allow *')
  await keyring(
    '-n',
    'client.rgw.a',
    '--cap',
    'mon',
    'allow rw',
    '--cap',
    'osd',
    'allow rwx',
    '--cap',
    'mgr',
    'allow rw',
  )
  await run('ceph-authtool', ['--create-keyring', at('osd.0/keyring'), '--gen-key', '-n', 'osd.0'])
  const monitors = `[v2:127.0.0.1:${v2},v1:127.0.0.1:${v1}]`
  await run('monmaptool', ['--create', '--fsid', fsid, '--addv', 'a', monitors, at('monmap')])
  await run('ceph-mon', [...conf, '-i', 'a', '--mkfs', '--monmap', at('monmap'), '--keyring', at('keyring')])
  const monitor = await start('ceph-mon', '-i', 'a')

  const { stdout } = await run('ceph-authtool', [at('osd.0/keyring'), '-n', 'osd.0', '--print-key'])
  await writeFile(at('osd.json'), JSON.stringify({ cephx_secret: stdout.trim() }))
  await Promise.race([run('ceph', [...conf, 'osd', 'new', osd, '0', '-i', at('osd.json')]), monitor.failed])
  await run('ceph-osd', [...conf, '-i', '0', '--mkfs', '--osd-uuid', osd])
  await start('ceph-osd', '-i', '0')

  const gateway = await start('radosgw', '-n', 'client.rgw.a')
  await Promise.race([answering(`http://127.0.0.1:${port}/`), gateway.failed])
  return port!
}

/** The gateway opens its port when it can serve and says so nowhere else. Gives up after 30 s. */
async function answering(url: string): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    try {
      await (await fetch(url)).arrayBuffer()
      return
    } catch {
      await new Promise((later) => setTimeout(later, 50))
    }
  }
  throw new Error(`${url} does not answer`)
}

function cephConf(folder: string, fsid: string, v2: number, v1: number, port: number): string {
  return `
[global]
fsid = ${fsid}
mon_host = [v2:127.0.0.1:${v2}/0,v1:127.0.0.1:${v1}/0]
mon_initial_members = a
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
public_network = 127.0.0.0/8
cluster_network = 127.0.0.0/8
# One copy of everything, in memory, and decisions without waiting for members that do not exist.
osd_objectstore = memstore
memstore_device_bytes = 2147483648
osd_max_object_name_len = 460
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_crush_chooseleaf_type = 0
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_data_avail_crit = 1
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
mon_tick_interval = 1
auth_allow_insecure_global_id_reclaim = false
run_dir = ${folder}/run
admin_socket = ${folder}/run/$cluster-$name.$pid.asok
pid_file = ${folder}/run/$name.pid
log_file = ${folder}/log/$name.log
crash_dir = ${folder}/crash
keyring = ${folder}/keyring
[mon.a]
mon_data = ${folder}/mon.a
[osd.0]
keyring = ${folder}/osd.0/keyring
osd_data = ${folder}/osd.0
[client.rgw.a]
rgw_frontends = beast endpoint=127.0.0.1:${port}
rgw_run_sync_thread = false
rgw_enable_usage_log = false
# Unfinished multipart uploads that were aborted are gone at once, not after the collector's two hours.
rgw_gc_obj_min_wait = 1
`
}
