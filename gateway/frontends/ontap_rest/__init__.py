"""The ONTAP REST door.

The pure half, without a socket, is a pipeline of functions over literal tables:

* `schema.load_schema(release) -> Schema`: the documented fields, read once at start.
* `query.parse_query(resource, verb, raw) -> Parameters`: controls, options and
  a tree of conditions; `query.scoped` restricts it to the SVM of
  `X-Dot-SVM-Name`; `query.key_uuid` and `key_number` read keys in paths.
* `pushdown.split(resource.name, where, catalog_fields) -> Split(where, residual)`:
  the catalog's filter and what `tree.predicate` checks on rendered records (an
  `offset` must count after it); `pushdown.catalog_order`, `sort_records`.
* `projection.Projections().get(resource, fields, queried=, instance=) -> Projection`:
  `prune(record)`, and `wants(path)` to leave names unresolved that nobody asked for.
* `body.decode(resource, verb, raw) -> Body`, then `body.require_fields` (POST)
  and `body.confirm`, which refuses what the door does not carry out unless it
  says what is so anyway.
* `render.*`: core records as full ONTAP records.
* `encode.*`: `record_href`, `with_links`, `collection`, `accepted`, `next_href`, `dumps`.
* `errors.WireError` and `errors.encode_error(error, operation=) -> (status, body)`.

The half that acts: `door` (a request's way in and out), `endpoints` (the route
table), `sources` and `reading` (GET), `serve` (every verb), `writing` and
`writes.*` (one record), `batch` (many records as one job). What is about LUNs is
in modules that end in `san`, and in `kept`: what only ONTAP has a word for.

`shape` tells as data what is served; `openapi` and `docs` make of that what `/docs/api`
answers.

Everything wrong with a request is a `WireError`; everything the core refuses a
`GatewayError`; `encode_error` knows both.
"""
