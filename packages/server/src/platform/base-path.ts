/** Where the server stands below its host: `/writ` of https://ops.example.com/writ, or nothing. */
export function basePathOf(publicUrl: string | undefined): string {
  const { pathname } = new URL(publicUrl ?? 'http://localhost')
  return pathname === '/' ? '' : pathname
}

/**
 * What was asked below the base path, as it is without one. Some proxies take the path off before they pass a request on, and probes
 * beside the server know nothing of it, so a request without it is the same.
 */
export function withoutBase(url: string, basePath: string): string {
  if (basePath === '' || !url.startsWith(basePath)) return url
  const rest = url.slice(basePath.length)
  if (rest === '' || rest.startsWith('?')) return `/${rest}`
  return rest.startsWith('/') ? rest : url
}

/** First parts of paths that the server answers beside its API: below one of them it could not be told what is meant. */
export const OWN_PATHS: readonly string[] = [
  'app',
  'approve',
  'dispatch',
  'dlq',
  'docs',
  'feishu',
  'healthz',
  'log',
  'logs',
  'metrics',
  'openapi.json',
  'ping',
  'proxy',
  'readyz',
  'redoc',
  'task',
  'tasks',
]
