-- The face for analysts. Roles and what they may do are not made here: every migration compares them with the
-- declaration (roles.py), since roles belong to the whole server and rights to objects that follow from contracts.

create schema analyst;
comment on schema analyst is
    'Views of every feed for claims_analyst: restricted, pseudonymised rows without direct identifiers and special data';
