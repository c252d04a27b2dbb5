import { UriTemplate } from '@modelcontextprotocol/server'
import { ConfigError } from '../errors.js'
import { toTextFit, type Fit } from './patterns.js'
import { decodePercents, normalizeUri, toPatternSpellings } from './spellings.js'

/**
 * How a pattern of resources is read: a URI template (RFC 6570) names itself, as a server lists it, and every URI that
 * it matches; anything else names URIs and templates, with `*` for any characters.
 * @throws {ConfigError} for a pattern that mixes the two
 */
export function toResourceFit (pattern: string, allows: boolean): Fit {
  if (UriTemplate.isTemplate(pattern)) return toTemplateFit(pattern, allows)
  const spellings = toPatternSpellings(pattern, allows, decodePercents)
  return toTextFit(pattern.includes('*') ? spellings : [...spellings, normalizeUri(pattern)])
}

function toTemplateFit (pattern: string, allows: boolean): Fit {
  if (pattern.replaceAll(/\{[^{}]*\}/g, '').includes('*')) {
    throw new ConfigError(
      `The pattern of resources ${JSON.stringify(pattern)} has both a * and a URI template: use one of the two.`
    )
  }
  const template = parseTemplate(pattern)
  return spelling => spelling === pattern || matches(template, spelling, allows)
}

/** @throws {ConfigError} */
function parseTemplate (pattern: string): UriTemplate {
  try {
    return new UriTemplate(pattern)
  } catch (error) {
    throw new ConfigError(
      `The pattern of resources ${JSON.stringify(pattern)} is not a URI template: ${
        error instanceof Error ? error.message : String(error)
      }.`
    )
  }
}

/** What cannot be compared, as it is too long, is not allowed, and is taken back. */
function matches (template: UriTemplate, uri: string, allows: boolean): boolean {
  try {
    return template.match(uri) !== null
  } catch {
    return !allows
  }
}
