"""The libStorage door: the HTTP/JSON API that REX-Ray and its kin speak, in the dialect of REX-Ray 0.11."""
