"""The end of an erasure: frames from before it are deleted for good, once it is committed.

Belongs here: deleting what erasures have noted to be deleted, and what S3 keeps. Does not belong here: which folders
those are (erasing.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from claims_pipeline.errors import ClaimsPipelineError, Transient
from claims_pipeline.landing import layout, s3_deletion
from claims_pipeline.services import Services
from claims_pipeline.warehouse import erasure as sql


@dataclass(frozen=True)
class Finished:
    """Folders of frames from before erasures.

    Attributes:
        deleted: gone now, or to be deleted where only that was asked.
        undeleted: still there: S3 refused, as it does until an object lock ends, or cannot be reached; or no folders of
            frames, which are never deleted: runs may note what is deleted here with more rights than theirs.
        why: the last refusal in words; empty for none.
    """

    deleted: tuple[str, ...] = ()
    undeleted: tuple[str, ...] = ()
    why: str = ""


def finish(services: Services, *, apply: bool = True) -> Finished:
    """Delete frames from before erasures that are still there, every version of them.

    A folder that S3 does not let go keeps neither the others nor the next person's erasure from being carried out.

    Args:
        services: the owner's database, and S3.
        apply: delete; otherwise only tell.

    Raises:
        Transient: the database failed.
    """
    done = Finished()
    with services.owner_database() as connection:
        keys = sql.left_to_delete(connection)
        if not apply:
            return Finished(tuple(filter(layout.is_frames, keys)))
        for place, key in enumerate(keys):
            if not layout.is_frames(key):
                done = replace(done, undeleted=(*done.undeleted, key), why=f"{key} is no folder of validated frames")
                continue
            try:
                s3_deletion.delete_for_good(services.s3, bucket=services.settings.archive_bucket, prefix=f"{key}/")
            except Transient as error:
                return replace(done, undeleted=(*done.undeleted, *keys[place:]), why=str(error))
            except ClaimsPipelineError as error:
                done = replace(done, undeleted=(*done.undeleted, key), why=str(error))
            else:
                sql.is_deleted(connection, key)
                done = replace(done, deleted=(*done.deleted, key))
    return done
