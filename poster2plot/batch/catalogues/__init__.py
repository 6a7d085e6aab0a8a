"""What a catalogue holds: the posters of a folder, a tar, a table or a `datasets` folder, in order.

It may lie on a disk or in any object store that fsspec reads (https://filesystem-spec.readthedocs.io).
`listing` picks the reader: `folders`, `tars`, `csv_tables`, `parquet` or `arrow`. Nothing reads a
poster to list it, so that a hundred thousand are listed in seconds and in little memory. `item`
says where one poster is and loads it. `stores` is where files lie, and `columns` which column of a
table has the posters.
"""
