import { createHmac, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { AppError } from '../platform/app-error.ts'
import { secretHash } from './api-token.ts'

// What only browsers need: the session cookie and the protection of writes that carry it.

const NAME = '__Host-writ'

/** The secret of the session cookie, if the request carries one. */
export const sessionCookie = (request: FastifyRequest): string | undefined => cookieOf(request, NAME)

/** The value of a cookie; nothing is decoded. */
export function cookieOf(request: FastifyRequest, name: string): string | undefined {
  for (const part of (request.headers.cookie ?? '').split(';')) {
    const at = part.indexOf('=')
    if (at > 0 && part.slice(0, at).trim() === name) return part.slice(at + 1).trim()
  }
  return undefined
}

/** The header that sets the cookie for `seconds`; with an empty secret and 0 it takes the cookie away. */
export const setSessionCookie = (secret: string, seconds: number): string => setCookie(NAME, secret, seconds)

/** A cookie that only this host gets back, over TLS, out of reach of scripts; by navigation from another site too. */
export const setCookie = (name: string, value: string, seconds: number): string =>
  `${name}=${value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=${seconds}`

/**
 * The token that writes need, of the cookie's secret: a page that was opened anew asks for it again, and nothing has to be
 * kept where scripts can reach it. The secret does not follow from the token.
 */
export const csrfOf = (secret: string): string =>
  createHmac('sha256', secret).update('writ csrf token').digest('base64url')

/**
 * A write with a cookie must come from a page of ours: the token that login answered in `X-CSRF-Token`, and what the
 * browser itself says about the page (`Sec-Fetch-Site`, `Origin`) must not name another site. Throws CSRF_FAILED.
 */
export function checkCsrf(request: FastifyRequest, csrfHash: string | null, publicOrigin: string | undefined): void {
  const { origin, host } = request.headers
  const site = request.headers['sec-fetch-site']
  const token = request.headers['x-csrf-token']
  const given = Buffer.from(typeof token === 'string' ? secretHash(token) : '')
  const stored = Buffer.from(csrfHash ?? 'none')
  const tokenFits = given.length === stored.length && timingSafeEqual(given, stored)
  const siteFits = site === undefined || site === 'same-origin' || site === 'none'
  const originFits =
    origin === undefined ||
    origin === publicOrigin ||
    (host !== undefined && origin.replace(/^https?:\/\//, '') === host)
  if (!tokenFits || !siteFits || !originFits) throw new AppError('CSRF_FAILED')
}

/**
 * Whether a browser would keep a `Secure` cookie from this answer: the page is on HTTPS, or on the machine itself.
 * `X-Forwarded-Proto` counts from a trusted proxy only.
 */
export function isSecureContext(request: FastifyRequest, trusted: { has(address: string): boolean }): boolean {
  const peer = request.raw.socket.remoteAddress ?? ''
  if ('encrypted' in request.raw.socket) return true
  if (trusted.has(peer) && request.headers['x-forwarded-proto'] === 'https') return true
  const name = (request.headers.host ?? '').replace(/:\d+$/, '').toLowerCase()
  return name === 'localhost' || name.endsWith('.localhost') || name === '[::1]' || /^127(\.\d+){3}$/.test(name)
}
