"""What schemathesis cannot know by itself of this API: a media type, and the rules that no JSON Schema can say."""

import json

import schemathesis
from schemathesis.transport.serialization import serialize_binary


@schemathesis.serializer("application/offset+octet-stream")
def part_of_a_file(ctx, value):
    """Bytes as they are: tus has a media type of its own for them."""
    return serialize_binary(value)


# A request that fits its schema may be refused with 400 for these reasons, and for no other.
UNSAYABLE = (
    # JSON Schema counts characters, and these limits are in bytes of UTF-8.
    "longer than 255 bytes",
    "longer than 4096 bytes",
    "1,024 bytes",
    # It does not know what time it is,
    "the link would have ended already",
    # nor what one parameter of a query means for another,
    "`from` goes with order=folders_first only",
    "`after`: ",
    "is no place in the order",
    "it contains `/`",
    "a search goes on in the same folder",
    # or one field for another,
    "cannot be moved below itself",
    "cannot be its own copy",
    "Upload-Offset is missing",
    # nor what stands under a name,
    "is a file: files can only be added to a folder",
    # nor in which order the fields of a form come,
    "`file` is due, and `content` came",
    # nor that one of them takes the place of another,
    "the content of the last file is missing",
    # nor how much of a file is still to come,
    "chunks were named, and the file has only",
    # nor that a whole number is written without a fraction,
    "a whole number is expected, not the number",
    # nor what is inside base64.
    "Upload-Metadata has a key twice",
    "Upload-Metadata does not say where the file goes",
    "is not UTF-8",
    "`modified_ms` must be a number",
    # Its coverage phase sends `0` for this header, which does not fit the schema at all.
    "Last-Modified must be a time as HTTP writes it",
)

FORM = "application/x-www-form-urlencoded"
FILES = "multipart/form-data"

# What schemathesis adds to a request's headers to have it refused.
UNKNOWN_HEADER = "x-schemathesis-unknown-property"


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Keeps every failure but a refusal for such a reason, and four that are none."""
    # OPTIONS tells what the server speaks, whatever became of the upload.
    if failure.title == "Deleted resource still available" and case.method == "OPTIONS":
        return False
    # HTTP allows more headers than the ones described.
    if failure.title == "Schema-violating request accepted" and UNKNOWN_HEADER in (case.headers or {}):
        return False
    # Each file of a form is refused by itself, in an answer of 200.
    if failure.title == "Schema-violating request accepted" and case.media_type == FILES:
        return False
    # All that a form has is text: what was a number is a name by then.
    if failure.title == "Schema-violating request accepted" and case.media_type == FORM:
        return False
    if failure.title != "Schema-valid request rejected":
        return True
    try:
        problem = json.loads(response.content)
        said = problem["code"], problem["detail"]
    except (ValueError, KeyError):
        # An answer to HEAD has no body; GET of the same is tried too.
        return case.method != "HEAD"
    if response.status_code == 415:
        # Whether there is a picture in a file is not told by its address.
        return said[0] != "no_thumbnail"
    if response.status_code == 413:
        # Nor how large the disks are, nor what a header says of the body's length.
        return said[0] != "too_large" and "bytes to come, and more were sent" not in said[1]
    return response.status_code != 400 or not any(reason in said[1] for reason in UNSAYABLE)
